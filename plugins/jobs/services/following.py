"""Following one job: how it stands, and what happens to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from core.background import duties
from core.background.queue import following
from core.background.queue.following import START, Event, Story
from core.background.queue.routes import route_of
from core.background.queue.steps import next_id
from core.contracts import Authorizer, service
from core.data import current_tenant, outbox, unit
from core.data.outbox import Envelope
from core.errors import NOT_FOUND, Refused
from core.trust import current_principal
from core.web.pages import open_place, seal_place
from plugins.jobs.schemas import EventOut, EventsOut, EventsQuery, FollowedOut
from plugins.jobs.services.sight import whose

LOOK = 0.5
"""Seconds between two looks whether a job has left the outbox."""


def how(id: UUID) -> FollowedOut:
    """``Refused(NOT_FOUND)``: also for what is not one's own to see."""
    found = _seen(id)
    if isinstance(found, Envelope):
        return FollowedOut(id, found.name, "queued", found.attempt, next=next_id(found))
    facts = found.facts
    return msgspec.convert(
        {
            **{name: facts.get(name) or None for name in ("task", "state", "message", "error")},
            "id": id,
            "attempt": int(facts["attempt"]),
            "progress": _progress(facts),
            "notes": found.notes,
            "result": msgspec.json.decode(facts["result"]) if "result" in facts else None,
            **{name: found.time(name) for name in ("queued_at", "started_at", "ended_at")},
            "merged_into": facts.get("into"),
            "next": facts.get("next"),
        },
        FollowedOut,
    )


def _progress(facts: Mapping[str, str]) -> float | None:
    """What the job told last; of one that has ended well, if it told any, all."""
    if "progress" not in facts:
        return None
    return 1.0 if facts.get("state") == "done" else float(facts["progress"])


def events(id: UUID, query: EventsQuery) -> EventsOut:
    """Opens units of its own, and holds none while it waits. ``Refused``: NOT_FOUND, INVALID_CURSOR."""
    bound_to = f"jobs.events:{id}"
    place = open_place(query.cursor, bound_to, [str])[0] if query.cursor else START
    ends = time.monotonic() + query.wait
    with unit():
        found = _seen(id)
    while isinstance(found, Envelope) and (left := ends - time.monotonic()) > 0 and not duties.leaving():
        time.sleep(min(LOOK, left))
        with unit():
            found = _seen(id)
    seen: list[Event] = []
    if isinstance(found, Story):
        seen = following.events(found, place, query.limit, wait=ends - time.monotonic())
    items = [EventOut(each.seq, each.at, each.what, each.data) for each in seen]
    return EventsOut(items, seal_place(bound_to, [seen[-1].place if seen else place]))


def _seen(id: UUID) -> Story | Envelope:
    """As its queue tells or, before it has got there, the outbox. ``Refused(NOT_FOUND)``."""
    # Asked twice: it may go from one to the other in between.
    found: Story | Envelope | None = following.find(id) or outbox.find(id) or following.find(id)
    if found is None or not _may_see(found):
        raise Refused(NOT_FOUND, "there is no such job, or nobody follows it, or its time is over")
    return found


def _may_see(job: Story | Envelope) -> bool:
    who: Any = current_principal()
    if isinstance(job, Envelope):
        if not route_of(job.name).followed:
            return False
        own = who.id is not None and (who.kind, who.id) == (job.principal.kind, job.principal.id)
    else:
        own = job.is_of(who)
    if own and job.tenant_id == current_tenant().id:
        return True
    tenant = whose()
    return (tenant is None or job.tenant_id == tenant) and bool(service(Authorizer).decide(who, "jobs:read"))
