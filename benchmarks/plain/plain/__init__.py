"""Commerce's customers once more, by hand and through the ORM: what ``benchmarks.data`` measures resources beside."""

from core.registry import Plugin

plugin = Plugin(name="plain", package=__name__)
