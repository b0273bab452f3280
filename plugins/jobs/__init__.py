"""Jobs for operators: how the queues stand, the dead letters, and what recurs."""

from __future__ import annotations

from core.contracts import ReportSource
from core.registry import Plugin

plugin = Plugin(
    name="jobs",
    package=__name__,
    api=1,
    provides={
        ReportSource: {
            "system_health": "plugins.jobs.services.reports:SystemHealth",
            "daily_summary": "plugins.jobs.services.reports:DailySummary",
        }
    },
    permissions=("jobs:read", "jobs:write"),
)
