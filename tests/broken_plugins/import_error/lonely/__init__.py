"""Its views lean on what is not installed."""

from core.registry import Plugin

plugin = Plugin(name="lonely", package=__name__)
