"""Its migration builds upon one that is not there."""

from core.registry import Plugin

plugin = Plugin(name="orphaned", package=__name__)
