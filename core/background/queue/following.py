"""Reading what is told of a followed job: how it stands, and its events from a place on. Writing is ``stories``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

from core.background import duties
from core.background.queue import delivery, watching
from core.background.queue.keys import Keys
from core.contracts import Principal
from core.data import redis

ENDED = ("done", "failed", "merged")

START = "0-0"
"""The place before the first event."""


What = Literal[
    "waiting", "queued", "started", "progress", "log", "note", "stalled", "retry", "done", "failed", "merged"
]


class Event(msgspec.Struct, frozen=True):
    """``place`` is its id in the stream; ``seq`` counts a job's events from 1, so that one sees where some are gone."""

    place: str
    seq: int
    at: datetime
    what: What
    data: dict[str, Any]


class Story(NamedTuple):
    """How a followed job stands; ``owner`` is the kind and id of who enqueued it. ``result`` is JSON."""

    id: UUID
    queue: str
    facts: Mapping[str, str]

    @property
    def state(self) -> str:
        return self.facts.get("state", "queued")

    @property
    def tenant_id(self) -> UUID | None:
        return UUID(self.facts["tenant"]) if self.facts.get("tenant") else None

    def is_of(self, principal: Principal) -> bool:
        """Whether it was this one who enqueued it."""
        kind, who = msgspec.json.decode(self.facts["owner"], type=tuple[str, UUID | None])
        return principal.id is not None and (kind, who) == (principal.kind, principal.id)

    @property
    def notes(self) -> dict[str, Any]:
        found = self.facts.items()
        return {name[5:]: msgspec.json.decode(value) for name, value in found if name.startswith("note:")}

    def time(self, name: str) -> datetime | None:
        return _time(self.facts[name]) if name in self.facts else None


def _time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def find(job_id: UUID) -> Story | None:
    """``None`` for a job that is not followed, or not known any more."""
    queues = delivery.names()
    with redis.client().pipeline(transaction=False) as pipe:
        for name in queues:
            pipe.hgetall(Keys(name).facts(str(job_id)))
        replies = pipe.execute()
    found = [Story(job_id, name, _decoded(reply)) for name, reply in zip(queues, replies, strict=True) if reply]
    # A job that was passed on to another queue may have left something on the first.
    return max(
        (each for each in found if "owner" in each.facts),
        key=lambda each: each.facts.get("queued_at") or each.facts.get("started_at", ""),
        default=None,
    )


def _decoded(reply: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in reply.items()}


def events(story: Story, after: str = START, limit: int = 100, wait: float = 0) -> list[Event]:
    """At most ``limit`` of those after a place, in their order.

    Where there are none, as soon as there are, or the job has ended, or ``wait`` seconds have passed, or the process
    leaves; no connection is held meanwhile.
    """
    ends = time.monotonic() + wait
    while True:
        found, state, known = _look(story, after, limit)
        left = ends - time.monotonic()
        if found or state is None or state in ENDED or left <= 0 or duties.leaving():
            return found
        watching.wait(Keys(story.queue).facts(str(story.id)), known, left)


def _look(story: Story, after: str, limit: int) -> tuple[list[Event], str | None, int]:
    """The events, the job's state, and how many events there have been."""
    keys, job = Keys(story.queue), str(story.id)
    with redis.client().pipeline(transaction=True) as pipe:
        pipe.xrange(keys.story(job), f"({after}", "+", limit)
        pipe.hmget(keys.facts(job), "state", "events", "result")
        entries, (state, known, result) = pipe.execute()
    found = [_event(place, fields, result) for place, fields in entries]
    return found, state and state.decode(), int(known or 0)


def _event(place: bytes, fields: Mapping[bytes, bytes], result: bytes | None) -> Event:
    what: Any = fields[b"what"].decode()
    data = msgspec.json.decode(fields[b"data"])
    if what == "done" and result is not None:  # kept once
        data["result"] = msgspec.json.decode(result)
    at = _time(place.decode().partition("-")[0])
    return Event(place.decode(), int(fields[b"seq"]), at, what, data)
