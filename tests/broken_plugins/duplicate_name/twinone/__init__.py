"""One of two distributions that call their plugin twin."""

from core.registry import Plugin

plugin = Plugin(name="twin", package=__name__)
