"""It wants a permission that nobody declares."""

from core.registry import Plugin

plugin = Plugin(name="vague", package=__name__)
