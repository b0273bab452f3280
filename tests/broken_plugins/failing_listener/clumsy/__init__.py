"""It stumbles over its own news."""

from core.registry import Plugin

plugin = Plugin(name="clumsy", package=__name__)
