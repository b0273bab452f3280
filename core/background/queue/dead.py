"""Dead letters: jobs that nobody tries any more, each with why; read, replayed and thrown away one by one.

A replayed job begins anew: its attempts count from one, and it is signed with today's key.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from core.background.queue import messages, scripts, stories, twins
from core.background.queue.frames import Frame
from core.background.queue.framing import framed
from core.background.queue.keys import Keys
from core.background.queue.routes import route_of
from core.data import redis
from core.data.outbox import Envelope
from core.telemetry import scrub

STALLED = "its worker died or fell silent while it ran, again and again"


class DeadLetter(NamedTuple):
    """``key`` names it in its queue; without ``envelope`` it could not be read as one of our jobs."""

    queue: str
    key: str
    died_at: datetime
    error: str
    envelope: Envelope | None

    @property
    def place(self) -> tuple[int, str]:
        return round(self.died_at.timestamp() * 1000), self.key


def letters(
    queue: str, tenant_id: UUID | None = None, *, after: tuple[int, str] | None = None, batch: int = 100
) -> Iterator[DeadLetter]:
    """The latest first; with ``tenant_id``, those of one tenant alone; ``after`` is the place of the last one seen."""
    store: Any = redis.client()
    keys = Keys(queue)
    start = 0 if after is None else _rank(store, keys, *after)
    while found := store.zrevrange(keys.dead_at, start, start + batch - 1, withscores=True):
        values = store.hmget(keys.dead, [key for key, _ in found])
        for (key, at), value in zip(found, values, strict=True):
            letter = None if value is None else _letter(queue, key.decode(errors="replace"), at, value)
            if letter is not None and (tenant_id is None or _is_of(letter, tenant_id)):
                yield letter
        start += batch


def _rank(store: Any, keys: Keys, at: int, key: str) -> int:
    """Where to go on after one that may have gone meanwhile."""
    rank = store.zrevrank(keys.dead_at, key)
    return int(store.zcount(keys.dead_at, f"({at}", "+inf") if rank is None else rank + 1)


def letter(queue: str, key: str, tenant_id: UUID | None = None) -> DeadLetter | None:
    """One of them; ``None`` where there is none, or it is another tenant's."""
    store: Any = redis.client()
    keys = Keys(queue)
    value, at = store.hget(keys.dead, key), store.zscore(keys.dead_at, key)
    if value is None or at is None:
        return None
    found = _letter(queue, key, at, value)
    return found if tenant_id is None or _is_of(found, tenant_id) else None


def replay(found: DeadLetter) -> bool:
    """Put it on its queue again; whether it was still there. ``ValueError`` for what could not be read."""
    if found.envelope is None:
        raise ValueError("it is no message of ours and can only be thrown away")
    again = msgspec.structs.replace(found.envelope, attempt=1, due_at=None, waits=0.0, unknown=0)
    route = route_of(again.name)
    # Where it lies on another queue than its task's, it is passed on, and keeps its twins away from then.
    key = twins.key_of(again, route) if route.queue == found.queue else ""
    args = [
        found.key,
        framed(again, route),
        str(again.id),
        stories.queued(again, route),
        key,
        twins.milliseconds(route),
    ]
    return bool(scripts.REPLAY(keys=[Keys(found.queue).prefix], args=args))


def discard(found: DeadLetter) -> bool:
    """Throw it away; whether it was still there."""
    return bool(scripts.REPLAY(keys=[Keys(found.queue).prefix], args=[found.key, ""]))


def _letter(queue: str, key: str, at: float, value: bytes) -> DeadLetter:
    told, _, raw = value.partition(b"\n")
    error = msgspec.json.decode(told).get("error") if told else STALLED
    try:
        envelope = messages.decode(Frame.read(raw).message)
    except messages.BadMessage:
        envelope = None
    return DeadLetter(queue, key, datetime.fromtimestamp(at / 1000, UTC), scrub(error or ""), envelope)


def _is_of(found: DeadLetter, tenant_id: UUID) -> bool:
    return found.envelope is not None and found.envelope.tenant_id == tenant_id
