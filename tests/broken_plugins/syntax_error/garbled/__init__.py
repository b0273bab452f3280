"""Its views are no Python."""

from core.registry import Plugin

plugin = Plugin(name="garbled", package=__name__)
