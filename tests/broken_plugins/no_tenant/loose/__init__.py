"""Its rows belong to nobody in particular."""

from core.registry import Plugin

plugin = Plugin(name="loose", package=__name__)
