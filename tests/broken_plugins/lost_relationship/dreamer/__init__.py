"""Its dreams belong to somebody who is not there."""

from core.registry import Plugin

plugin = Plugin(name="dreamer", package=__name__)
