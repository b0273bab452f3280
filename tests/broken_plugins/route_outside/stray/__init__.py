"""It wants to answer elsewhere."""

from core.registry import Plugin

plugin = Plugin(name="stray", package=__name__)
