"""The queues for Prometheus, asked of Redis when somebody looks: the same from every process, none without Redis."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from core.background.queue import figures, tallies
from core.background.queue.figures import QueueFigures

log = logging.getLogger(__name__)

STATES = ("waiting", "delayed", "active", "dead")
ENDED = ("completed", "failed", "retried", "stalled")

GAUGES = {
    "queue_jobs": ("gauge", "Jobs in each queue, by state"),
    "queue_ended_total": ("counter", "What became of jobs, since the queue began"),
    "queue_oldest_seconds": ("gauge", "Age of the job that comes next"),
    "queue_wait_seconds": ("gauge", "How long jobs waited that ended in this hour and the last, by quantile"),
    "queue_run_seconds": ("gauge", "How long they ran"),
    "queue_task_ended_total": ("counter", "Jobs of each task that were completed, or failed, since the queue began"),
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
    elif name in ("queue_wait_seconds", "queue_run_seconds"):
        spread = queue.wait_ms if name == "queue_wait_seconds" else queue.run_ms
        for point, part in tallies.POINTS.items():
            if (value := getattr(spread, point)) is not None:
                yield f'{own},quantile="{part}"', value / 1000
    elif name == "queue_task_ended_total":
        for task, counts in tallies.tasks_ever(queue.name).items():
            yield from ((f'{own},task="{task}",outcome="{o}"', many) for o, many in zip(ENDED, counts, strict=False))
    else:
        yield own, queue.workers
