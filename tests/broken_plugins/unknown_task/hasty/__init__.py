"""It enqueues what nobody performs."""

from core.registry import Plugin

plugin = Plugin(name="hasty", package=__name__)
