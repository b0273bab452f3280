"""Its table clings to another plugin's."""

from core.registry import Plugin

plugin = Plugin(name="leech", package=__name__)
