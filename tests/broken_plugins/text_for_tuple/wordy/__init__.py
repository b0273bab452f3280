"""A pair of brackets that makes no tuple."""

from core.registry import Plugin

plugin = Plugin(name="wordy", package=__name__, requires=("auth"))
