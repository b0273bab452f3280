"""It has a table and no migration."""

from core.registry import Plugin

plugin = Plugin(name="bodiless", package=__name__)
