"""Back-pressure: tenants of whom so many jobs wait on a queue that no more are put there.

What they enqueue for it stays in the outbox, which is on PostgreSQL's disk and not in Redis's memory, and follows in
its order as the queue empties; until it has, what comes after it stays there too. Other tenants notice nothing, and nor
do their own jobs for other queues. What waits at a limit of its task counts too.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from uuid import UUID

from flask import current_app

from core.background.queue.frames import lane_of, tenant_of
from core.background.queue.keys import Keys
from core.background.queue.routes import names_on, route_of
from core.config import BoardSettings
from core.data import redis, sweeping
from core.data.envelopes import Envelope
from core.data.holding import Hold, Holds

FOR = 1.0
"""Seconds for which a process takes what it was told for granted; then it asks whether it is so still."""

Place = tuple[str, UUID | None]
"""A queue and a tenant (``None``: the board's own jobs)."""

_full: dict[Place, float] = {}
_behind: dict[Place, float] = {}
"""Those that were full: what waits in the outbox goes first. Both with until when that is taken for granted."""


def limit() -> int:
    settings: BoardSettings = current_app.extensions["pegboard.settings"]
    return settings.queue_limit


def note(queue: str, lanes: Iterable[str]) -> None:
    """What a script has told: as many jobs as may be wait in these lanes."""
    until = time.monotonic() + FOR
    _full.update(((queue, tenant_of(lane)), until) for lane in lanes)


def holds_of_sweep(envelopes: Sequence[Envelope] = ()) -> list[Hold]:
    """The jobs of those who fill a queue, as far as is known here; and where these would go, it is asked."""
    _look_again()
    _look({(route_of(each.name).queue, each.tenant_id) for each in envelopes} - _full.keys())
    return _as_holds(_full)


def holds_of_new() -> list[Hold]:
    """Also of those who filled one a while ago, for as long as what they enqueued then waits for the sweep."""
    _look_again()
    now = time.monotonic()
    for place in [place for place, until in list(_behind.items()) if until <= now]:
        [hold] = _as_holds([place])
        if sweeping.is_left_to_sweep(hold):
            _behind[place] = now + FOR
        else:
            _behind.pop(place, None)
    return _as_holds({**_full, **_behind})


def _as_holds(places: Iterable[Place]) -> list[Hold]:
    tenants: defaultdict[str, set[UUID | None]] = defaultdict(set)
    for queue, tenant in places:
        tenants[queue].add(tenant)
    return [Hold(frozenset(whose), *names_on(queue)) for queue, whose in tenants.items()]


def _look_again() -> None:
    now = time.monotonic()
    expired = {place for place, until in list(_full.items()) if until <= now}
    for place in expired - _look(expired):
        _full.pop(place, None)
        _behind[place] = now


def _look(places: Set[Place]) -> set[Place]:
    """Which of them are full; they are known to be from now on."""
    if not places:
        return set()
    try:
        with redis.client().pipeline(transaction=False) as pipe:
            for queue, tenant in places:
                keys, lane = Keys(queue), lane_of(tenant)
                pipe.llen(keys.first(lane))
                pipe.llen(keys.lane(lane))
                pipe.zcard(keys.ranked(lane))
                pipe.hget(keys.gate_lengths, lane)
            found = [int(many or 0) for many in pipe.execute()]
    except Exception:  # it is away, as whoever hands jobs over will notice
        return set()
    full = {place for number, place in enumerate(places) if sum(found[number * 4 : number * 4 + 4]) >= limit()}
    until = time.monotonic() + FOR
    _full.update((place, until) for place in full)
    return full


HOLDS = Holds(holds_of_sweep, holds_of_new)
