"""Queues and dead letters over HTTP."""

from __future__ import annotations

from core.background.queue.figures import QueueFigures
from core.errors import CONFLICT
from core.trust import requires
from core.web import Page, Routes, refuses
from plugins.jobs import services
from plugins.jobs.schemas import JobsOut, JobsQuery, LetterOut, LettersQuery, QueuesOut, Replayed, ReplayMany

routes = Routes(__name__)


@routes.get("/queues")
@requires("jobs:read")
def list_queues() -> QueuesOut:
    """How the queues stand."""
    return QueuesOut(services.queues())


@routes.get("/queues/<name>")
@requires("jobs:read")
def get_queue(name: str) -> QueueFigures:
    """How one queue stands."""
    return services.queue(name)


@routes.post("/queues/<name>/pause")
@requires("jobs:write")
def pause_queue(name: str) -> QueueFigures:
    """Have nothing taken off a queue; what runs goes on, and what comes waits."""
    return services.set_paused(name, True)


@routes.post("/queues/<name>/resume")
@requires("jobs:write")
def resume_queue(name: str) -> QueueFigures:
    """Have a queue's jobs run again."""
    return services.set_paused(name, False)


@routes.get("/jobs")
@requires("jobs:read")
def list_jobs(query: JobsQuery) -> JobsOut:
    """The jobs that come next, that run, or that ended last."""
    return JobsOut(services.jobs(query))


@routes.get("/dead")
@requires("jobs:read")
def list_dead(query: LettersQuery) -> Page[LetterOut]:
    """Jobs that nobody tries any more, with why; the latest first."""
    return services.page(query)


@routes.post("/dead/replay")
@requires("jobs:write")
def replay_many(body: ReplayMany) -> Replayed:
    """Run again what a list with these filters tells, its attempts counted from one."""
    return services.replay_many(body)


@routes.get("/dead/<queue>/<key>")
@requires("jobs:read")
def get_dead(queue: str, key: str) -> LetterOut:
    """One dead letter."""
    return services.told(queue, key)


@routes.post("/dead/<queue>/<key>/replay")
@requires("jobs:write")
@refuses(CONFLICT)
def replay(queue: str, key: str) -> None:
    """Run a job again, its attempts counted from one."""
    services.replay(queue, key)


@routes.delete("/dead/<queue>/<key>")
@requires("jobs:write")
def discard(queue: str, key: str) -> None:
    """Throw a dead letter away."""
    services.discard(queue, key)
