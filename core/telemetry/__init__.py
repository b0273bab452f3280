"""Logs, request ids and metrics: what the board says of itself. Nothing here ever stops the work that it tells of."""

from core.telemetry.logs import clean_request_id, init_app, log_context, new_request_id, request_id
from core.telemetry.metrics import child_exit, count, exposition, metric, observe, prepare_multiprocess
from core.telemetry.scrubbing import HIDDEN, clean, hide, hide_settings, scrub

__all__ = [
    "HIDDEN",
    "child_exit",
    "clean",
    "clean_request_id",
    "count",
    "exposition",
    "hide",
    "hide_settings",
    "init_app",
    "log_context",
    "metric",
    "new_request_id",
    "observe",
    "prepare_multiprocess",
    "request_id",
    "scrub",
]
