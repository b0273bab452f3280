"""Which queues a worker consumes, and how many jobs of each it runs at once.

``WORKER_QUEUES=default:10,mail:5`` says so; unset, a worker consumes every queue that its tasks name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flask import Flask

from core.background.queue.keys import DEFAULT
from core.background.queue.routes import own_queues
from core.config import BoardSettings

if TYPE_CHECKING:
    from core.background.tasks import Tasks

PROCESSES = 2
"""Of a queue whose jobs compute, each in a process of its own: about as many as there are processors."""
STANDARD: Mapping[str, int] = {"mail": 5, "images": 3, "reports": 1, "data-sync": 1}
"""Jobs at once of the queues that have a size of their own: what they wait for, or compute, bears no more."""


def queues_of(app: Flask) -> dict[str, int]:
    """Queue -> jobs at once. Needs the app's context."""
    settings: BoardSettings = app.extensions["pegboard.settings"]
    if not settings.worker_queues:
        return {name: _standard(app, name) for name in sorted(own_queues())}
    found: dict[str, int] = {}
    for word in settings.worker_queues:
        name, _, size = word.partition(":")
        found[name] = int(size) if size else _standard(app, name)
    return found


def _standard(app: Flask, name: str) -> int:
    settings: BoardSettings = app.extensions["pegboard.settings"]
    return STANDARD.get(name, PROCESSES if name in process_queues(app) else settings.worker_concurrency)


def process_queues(app: Flask) -> set[str]:
    """The queues whose jobs run in child processes, as far as the tasks of this process say."""
    tasks: Tasks = app.extensions["pegboard.tasks"]
    found = (tasks.get(name) for name in tasks.names())
    return {task.policy.queue for task in found if task is not None and task.policy.kind == "process"}


def most_children(app: Flask) -> int:
    """How many child processes a worker has at most. Needs the app's context."""
    processes = process_queues(app)
    return sum(size for name, size in queues_of(app).items() if name in processes)


def unconsumed(app: Flask) -> list[str]:
    """The queues that tasks of this worker name and that it does not consume itself: another worker has to."""
    return sorted(own_queues() - queues_of(app).keys() - {DEFAULT})


def unnamed(app: Flask) -> list[str]:
    """The queues that this worker is told to consume and that none of its tasks names: misspelt, or of old."""
    return sorted(queues_of(app).keys() - own_queues() - {DEFAULT})
