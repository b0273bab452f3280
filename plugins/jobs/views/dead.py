"""Dead letters."""

from __future__ import annotations

from core.errors import CONFLICT
from core.trust import requires
from core.web import Page, refuses
from plugins.jobs.schemas import LetterOut, LettersQuery, Replayed, ReplayMany
from plugins.jobs.services import letters
from plugins.jobs.views.routes import routes


@routes.get("/dead")
@requires("jobs:read")
def list_dead(query: LettersQuery) -> Page[LetterOut]:
    """Jobs that nobody tries any more, with why; the latest first."""
    return letters.page(query)


@routes.post("/dead/replay")
@requires("jobs:write")
def replay_many(body: ReplayMany) -> Replayed:
    """Run again what a list with these filters tells, its attempts counted from one."""
    return letters.replay_many(body)


@routes.get("/dead/<queue>/<key>")
@requires("jobs:read")
def get_dead(queue: str, key: str) -> LetterOut:
    """One dead letter."""
    return letters.told(queue, key)


@routes.post("/dead/<queue>/<key>/replay")
@requires("jobs:write")
@refuses(CONFLICT)
def replay(queue: str, key: str) -> None:
    """Run a job again, its attempts counted from one."""
    letters.replay(queue, key)


@routes.delete("/dead/<queue>/<key>")
@requires("jobs:write")
def discard(queue: str, key: str) -> None:
    """Throw a dead letter away."""
    letters.discard(queue, key)
