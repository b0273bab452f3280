"""Back-pressure: tenants of whom so many jobs wait on a queue that no more are put there.

What they enqueue for it stays in the outbox, which is on PostgreSQL's disk and not in Redis's memory, and follows in
its order as the queue empties. Other tenants notice nothing, and nor do their own jobs for other queues. What waits at
a limit of its task counts too.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from flask import current_app

from core.background.queue.frames import lane_of, tenant_of
from core.background.queue.keys import Keys
from core.background.queue.routes import names_on
from core.config import BoardSettings
from core.data import redis
from core.data.holding import Hold

HOLDS = 1.0
"""Seconds for which a process takes what it was told for granted; then it asks whether it is so still."""

_full: dict[tuple[str, UUID | None], float] = {}


def limit() -> int:
    settings: BoardSettings = current_app.extensions["pegboard.settings"]
    return settings.queue_limit


def note(queue: str, lanes: Iterable[str]) -> None:
    """What a script has told: as many jobs as may be wait in these lanes."""
    until = time.monotonic() + HOLDS
    _full.update(((queue, tenant_of(lane)), until) for lane in lanes)


def holds() -> list[Hold]:
    """What is to stay in the outbox for now: of each queue the jobs of those who fill it, as far as is known here."""
    now = time.monotonic()
    for place in [place for place, until in list(_full.items()) if until <= now]:
        if _still(*place):
            _full[place] = now + HOLDS
        else:
            _full.pop(place, None)
    full: defaultdict[str, set[UUID | None]] = defaultdict(set)
    for queue, tenant in _full:
        full[queue].add(tenant)
    return [Hold(frozenset(tenants), *names_on(queue)) for queue, tenants in full.items()]


def _still(queue: str, tenant: UUID | None) -> bool:
    keys, lane = Keys(queue), lane_of(tenant)
    try:
        with redis.client().pipeline(transaction=False) as pipe:
            pipe.llen(keys.lane(lane))
            pipe.zcard(keys.ranked(lane))
            pipe.hget(keys.gate_lengths, lane)
            pipe.hget(keys.rate_lengths, lane)
            found = pipe.execute()
    except Exception:  # it is away, as whoever hands jobs over will notice
        return False
    return sum(int(many or 0) for many in found) >= limit()
