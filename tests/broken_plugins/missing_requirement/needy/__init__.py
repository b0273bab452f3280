"""It requires a plugin that nobody has installed."""

from core.registry import Plugin

plugin = Plugin(name="needy", package=__name__, requires=("ghost",))
