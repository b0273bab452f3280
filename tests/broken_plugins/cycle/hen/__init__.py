"""It wants the egg first."""

from core.registry import Plugin

plugin = Plugin(name="hen", package=__name__, after=("egg",))
