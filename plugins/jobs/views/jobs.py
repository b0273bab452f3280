"""What waits, runs, and has run."""

from __future__ import annotations

from core.trust import requires
from plugins.jobs.schemas import JobsOut, JobsQuery
from plugins.jobs.services import jobs
from plugins.jobs.views.routes import routes


@routes.get("/jobs")
@requires("jobs:read")
def list_jobs(query: JobsQuery) -> JobsOut:
    """The jobs that come next, that run, or that ended last."""
    return JobsOut(jobs.jobs(query))
