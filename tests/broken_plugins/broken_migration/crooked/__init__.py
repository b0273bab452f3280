"""Its first migration cannot be applied."""

from core.registry import Plugin

plugin = Plugin(name="crooked", package=__name__)
