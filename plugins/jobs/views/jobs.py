"""What waits, runs, and has run."""

from __future__ import annotations

from uuid import UUID

from core.data import in_steps
from core.trust import requires, signed_in
from plugins.jobs.schemas import EventsOut, EventsQuery, FollowedOut, JobsOut, JobsQuery
from plugins.jobs.services import following, jobs
from plugins.jobs.views.routes import routes


@routes.get("/jobs")
@requires("jobs:read")
def list_jobs(query: JobsQuery) -> JobsOut:
    """The jobs that come next, that run, or that ended last."""
    return JobsOut(jobs.jobs(query))


@routes.get("/jobs/<id>")
@signed_in
def get_job(id: UUID) -> FollowedOut:
    """How a job stands that is followed: one's own, or with `jobs:read` the tenant's."""
    return following.how(id)


@routes.get("/jobs/<id>/events")
@signed_in
@in_steps
def list_events(id: UUID, query: EventsQuery) -> EventsOut:
    """What happened to a job after the cursor; held back for `wait` seconds while nothing has."""
    return following.events(id, query)
