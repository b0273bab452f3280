"""It wants the hen first."""

from core.registry import Plugin

plugin = Plugin(name="egg", package=__name__, requires=("hen",))
