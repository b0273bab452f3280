"""The queues."""

from __future__ import annotations

from core.background.queue.figures import QueueFigures
from core.trust import requires
from plugins.jobs.schemas import PartsOut, PartsQuery, QueuesOut
from plugins.jobs.services import queues
from plugins.jobs.views.routes import routes


@routes.get("/queues")
@requires("jobs:read")
def list_queues() -> QueuesOut:
    """How the queues stand."""
    return QueuesOut(queues.queues())


@routes.get("/queues/<name>")
@requires("jobs:read")
def get_queue(name: str) -> QueueFigures:
    """How one queue stands."""
    return queues.queue(name)


@routes.get("/queues/<name>/figures")
@requires("jobs:read")
def get_queue_figures(name: str, query: PartsQuery) -> PartsOut:
    """A queue's figures by task or tenant, with how long jobs waited and ran."""
    return PartsOut(queues.figures_by(name, query.by, query.hours))


@routes.post("/queues/<name>/pause")
@requires("jobs:write")
def pause_queue(name: str) -> QueueFigures:
    """Have nothing taken off a queue; what runs goes on, and what comes waits."""
    return queues.set_paused(name, True)


@routes.post("/queues/<name>/resume")
@requires("jobs:write")
def resume_queue(name: str) -> QueueFigures:
    """Have a queue's jobs run again."""
    return queues.set_paused(name, False)
