"""Which queues a worker consumes, and how many jobs of each it runs at once.

``WORKER_QUEUES=default:10,mail:5`` says so; unset, a worker consumes every queue that its tasks name.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask

from core.background.queue.keys import DEFAULT
from core.background.queue.routes import own_queues
from core.config import BoardSettings

STANDARD: Mapping[str, int] = {"mail": 5, "images": 3, "reports": 1, "data-sync": 1}
"""Jobs at once of the queues that have a size of their own: what they wait for, or compute, bears no more."""


def queues_of(app: Flask) -> dict[str, int]:
    """Queue -> jobs at once. Needs the app's context."""
    settings: BoardSettings = app.extensions["pegboard.settings"]
    if not settings.worker_queues:
        return {name: STANDARD.get(name, settings.worker_concurrency) for name in sorted(own_queues())}
    found: dict[str, int] = {}
    for word in settings.worker_queues:
        name, _, size = word.partition(":")
        found[name] = int(size) if size else STANDARD.get(name, settings.worker_concurrency)
    return found


def unconsumed(app: Flask) -> list[str]:
    """The queues that tasks of this worker name and that it does not consume itself: another worker has to."""
    return sorted(own_queues() - queues_of(app).keys() - {DEFAULT})
