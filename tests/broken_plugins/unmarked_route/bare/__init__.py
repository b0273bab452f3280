"""It does not say who may call."""

from core.registry import Plugin

plugin = Plugin(name="bare", package=__name__)
