"""Putting jobs on their queues. Imports neither Huey nor redis-py: every process enqueues."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core.background.queue import fullness, stories
from core.background.queue.framing import framed, nonce_from, nonce_of
from core.background.queue.keys import Keys
from core.background.queue.routes import Route, own_queues, route_of
from core.background.queue.scripts import NAMES, PUSH
from core.background.queue.steps import following_group
from core.background.queue.twins import key_of as twins_of, milliseconds
from core.data import redis
from core.data.outbox import Envelope
from core.data.redis.pool import here

if TYPE_CHECKING:
    from redis import Redis

    from core.background.queue.frames import Frame

AGAIN = 60.0


def push(envelopes: Sequence[Envelope], using: Redis | None = None) -> None:
    """Put envelopes on their queues or, before they are due, on the schedule; one round trip for each queue.

    What was put there within the last half hour, or is among the last 100,000, is not put there again. Raises
    redis-py's errors; then some queues may have theirs, and whoever tries again does no harm.
    """
    _push([(envelope, nonce_of(envelope)) for envelope in envelopes], using)


def is_at_home(envelope: Envelope, taken: Frame, queue: str) -> bool:
    """Whether it lies on the queue of its task, with its limits and its story: whoever enqueued may not have known."""
    route = route_of(envelope.name)
    return route.queue == queue and (taken.gated or not route.limits) and (taken.followed or not route.followed)


def pass_on(envelope: Envelope, nonce: bytes, queue: str) -> None:
    """Put one that was on another queue, under this nonce, on its own: once, though this may be repeated."""
    _push([(envelope, nonce_from(nonce, queue))], None)


def _push(envelopes: Iterable[tuple[Envelope, bytes]], using: Redis | None) -> None:
    by_queue: dict[str, list[bytes | int | str]] = {}
    routes: dict[str, Route] = {}
    limit = fullness.limit()

    def route_to(task: str) -> Route:
        return routes.get(task) or routes.setdefault(task, route_of(task))

    for envelope, nonce in envelopes:
        route = route_to(envelope.name)
        raw = framed(envelope, route, nonce)
        twins, story = twins_of(envelope, route), stories.queued(envelope, route)
        id = str(envelope.id) if twins or story else ""
        by_queue.setdefault(route.queue, [limit]).extend((due(envelope), raw, 1, twins, milliseconds(route), id, story))
        if (then := envelope.then) is not None and then.group is not None and then.member == 0:
            route = route_to(then.steps[0].name)
            if story := stories.waiting(envelope, then.group, route):
                id = str(following_group(then.group))
                by_queue.setdefault(route.queue, [limit]).extend((0, b"", 0, "", 0, id, story))
    for queue, args in by_queue.items():
        remember(queue)
        full: list[bytes] = PUSH(keys=[Keys(queue).prefix], args=args, using=using)
        fullness.note(queue, [lane.decode() for lane in full])


def due(envelope: Envelope) -> int:
    """The epoch millisecond before which a job must not run; 0 for at once."""
    return 0 if envelope.due_at is None else int(envelope.due_at.timestamp() * 1000)


_remembered: dict[tuple[object, str], float] = {}


def remember(queue: str) -> None:
    """Have the queue stand among those that there are; each process says so once a minute, for Redis may forget."""
    mark, now = (here().server, queue), time.monotonic()
    if now - _remembered.get(mark, -AGAIN) >= AGAIN:
        redis.client().sadd(NAMES, queue)
        _remembered[mark] = now


def names() -> list[str]:
    """Every queue that has ever had something in it, or that a worker has told of; and those of this process's own
    tasks; sorted."""
    found: set[bytes] = redis.client().smembers(NAMES)  # type: ignore[assignment]
    return sorted({name.decode() for name in found} | own_queues())
