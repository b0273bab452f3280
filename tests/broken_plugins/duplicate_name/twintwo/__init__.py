"""The other of the two."""

from core.registry import Plugin

plugin = Plugin(name="twin", package=__name__)
