"""What waits, runs, and has run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from uuid import UUID

from core.background.queue import contents, figures, messages
from core.background.queue.frames import lane_of
from plugins.jobs.schemas import JobOut, JobsQuery
from plugins.jobs.services.queues import check_known
from plugins.jobs.services.sight import whose

MOST_LOOKED_AT = 10_000


def jobs(query: JobsQuery) -> list[JobOut]:
    """The next that wait, fall due or run, or the last that ended; a tenant's own. ``Refused(VALIDATION_FAILED)``."""
    check_known(query.queue)
    tenant = whose()
    found = _ended(query) if query.state in ("completed", "failed") else _living(query, tenant)
    return list(islice((each for each in found if tenant is None or each.tenant_id == tenant), query.limit))


def _living(query: JobsQuery, tenant: UUID | None) -> Iterator[JobOut]:
    if query.state == "waiting":
        found = contents.waiting(query.queue, None if tenant is None else lane_of(tenant))
    else:
        found = (contents.scheduled if query.state == "delayed" else contents.leased)(query.queue)
    for frame in islice(found, MOST_LOOKED_AT):
        try:
            job = messages.decode(frame.message)
        except messages.BadMessage:
            continue
        yield JobOut(job.id, job.name, job.attempt, job.tenant_id, job.due_at)


def _ended(query: JobsQuery) -> Iterator[JobOut]:
    for each in figures.ended(query.queue, query.state):
        yield JobOut(each.id, each.task, each.attempt, each.tenant_id, None, each.ended_at, each.ms, each.error)
