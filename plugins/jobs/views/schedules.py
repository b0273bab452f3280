"""What recurs."""

from __future__ import annotations

from core.background.schedules.models import ScheduleRow
from core.errors import CONFLICT, NOT_FOUND
from core.trust import requires
from core.web import Accepted, Created, NoContent, Page, Reply, etag_of, if_match, refuses
from plugins.jobs.schedule_schemas import (
    Asked,
    EditSchedule,
    NewSchedule,
    NextQuery,
    Preview,
    ScheduleOut,
    SchedulesQuery,
    Times,
)
from plugins.jobs.services import schedules
from plugins.jobs.views.routes import routes


def tagged(row: ScheduleRow) -> Reply[ScheduleOut]:
    return Reply(schedules.shown(row), etag=etag_of(row.version))


@routes.get("/schedules")
@requires("jobs:read")
def list_schedules(query: SchedulesQuery) -> Page[ScheduleOut]:
    """What recurs, by name."""
    return schedules.page(query)


@routes.post("/schedules")
@requires("jobs:write")
@refuses(CONFLICT)
def create_schedule(body: NewSchedule) -> Created[ScheduleOut]:
    """Have a task recur."""
    row = schedules.create(body)
    return Created(schedules.shown(row), location=f"/api/jobs/schedules/{row.name}", etag=etag_of(row.version))


@routes.post("/preview")
@requires("jobs:read")
def preview_schedule(body: Preview) -> Times:
    """When it would run; nothing is kept."""
    return schedules.preview(body)


@routes.get("/schedules/<name>")
@requires("jobs:read")
@refuses(NOT_FOUND)
def get_schedule(name: str) -> Reply[ScheduleOut]:
    """One schedule."""
    return tagged(schedules.found(name))


@routes.patch("/schedules/<name>")
@requires("jobs:write")
@refuses(NOT_FOUND)
def edit_schedule(name: str, body: EditSchedule) -> Reply[ScheduleOut]:
    """Change when it runs, with what, and whether; deploys leave one from code alone from then on."""
    row = schedules.locked(name)
    if_match(row.version)
    schedules.change(row, body)
    return tagged(row)


@routes.delete("/schedules/<name>")
@requires("jobs:write")
@refuses(NOT_FOUND, CONFLICT)
def delete_schedule(name: str) -> NoContent:
    """Delete one that was made at run time; one from code can be disabled."""
    row = schedules.locked(name)
    if_match(row.version, required=False)
    schedules.delete(row)
    return NoContent()


@routes.post("/schedules/<name>/run")
@requires("jobs:write")
@refuses(NOT_FOUND)
def run_schedule(name: str) -> Accepted[Asked]:
    """Run it now, whatever the time; a scheduler enqueues the job within a second or two."""
    return Accepted(schedules.run(name))


@routes.post("/schedules/<name>/reset")
@requires("jobs:write")
@refuses(NOT_FOUND, CONFLICT)
def reset_schedule(name: str) -> Reply[ScheduleOut]:
    """Have it be what the code says again."""
    return tagged(schedules.reset(name))


@routes.get("/schedules/<name>/next")
@requires("jobs:read")
@refuses(NOT_FOUND)
def next_of_schedule(name: str, query: NextQuery) -> Times:
    """When it runs next, or would if it were enabled."""
    return schedules.upcoming(name, query.count)
