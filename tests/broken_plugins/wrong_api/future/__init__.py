"""It was written for a board of another time."""

from core.registry import Plugin

plugin = Plugin(name="future", package=__name__, api=99)
