"""The queues for Prometheus, asked of Redis when somebody looks: the same from every process, none without Redis."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from core.background.queue import figures
from core.background.queue.figures import QueueFigures

log = logging.getLogger(__name__)

STATES = ("waiting", "delayed", "active", "dead")
ENDED = ("completed", "failed", "retried", "stalled")

GAUGES = {
    "queue_jobs": ("gauge", "Jobs in each queue, by state"),
    "queue_ended_total": ("counter", "What became of jobs, since the queue began"),
    "queue_oldest_seconds": ("gauge", "Age of the job that comes next"),
    "queue_workers": ("gauge", "Processes that consume the queue"),
}


def exposition() -> bytes:
    """Text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/); nothing without Redis."""
    try:
        found = figures.all_figures()
    except Exception as exc:  # whoever watches must see the rest all the same
        log.warning("the queues' figures are left out: %s", exc)
        return b""
    lines: list[str] = []
    for name, (kind, told) in GAUGES.items():
        lines += (f"# HELP {name} {told}", f"# TYPE {name} {kind}")
        lines += (f"{name}{{{labels}}} {value}" for queue in found for labels, value in _series(name, queue))
    return "\n".join([*lines, ""]).encode()


def _series(name: str, queue: QueueFigures) -> Iterator[tuple[str, float]]:
    own = f'queue="{queue.name}"'
    if name == "queue_jobs":
        yield from ((f'{own},state="{state}"', getattr(queue, state)) for state in STATES)
    elif name == "queue_ended_total":
        yield from ((f'{own},outcome="{outcome}"', getattr(queue, outcome)) for outcome in ENDED)
    elif name == "queue_oldest_seconds":
        yield own, queue.oldest_seconds or 0.0
    else:
        yield own, queue.workers
