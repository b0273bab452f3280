"""Jobs for operators: how the queues stand, and the dead letters."""

from __future__ import annotations

from core.registry import Plugin

plugin = Plugin(name="jobs", package=__name__, api=1, permissions=("jobs:read", "jobs:write"))
