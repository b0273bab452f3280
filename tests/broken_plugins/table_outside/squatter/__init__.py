"""It keeps its rows under another name."""

from core.registry import Plugin

plugin = Plugin(name="squatter", package=__name__)
