"""Where messages lie in Redis, and putting them there. Imports neither Huey nor redis-py: every process enqueues."""

from __future__ import annotations

from collections.abc import Sequence

from core.background.queue import messages
from core.data import redis
from core.data.models import utcnow
from core.data.outbox import Envelope

WAIT = "pb:q:default:wait"
"""A list: pushed on the left, popped on the right."""
SCHEDULE = "pb:q:default:sched"
"""A sorted set: message by the epoch second that it is due."""
BATCH = 128

# Moves what is due to the queue, oldest first, by the server's own clock: at no moment is it in neither place.
_PROMOTE = redis.script("""
local now = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now[1] + now[2] / 1000000, 'LIMIT', 0, ARGV[1])
if #due > 0 then
  redis.call('LPUSH', KEYS[2], unpack(due))
  redis.call('ZREM', KEYS[1], unpack(due))
end
return #due
""")


def push(envelopes: Sequence[Envelope]) -> None:
    """Put envelopes on the queue or, before they are due, on the schedule: all or none, in one round trip.

    Raises redis-py's errors.
    """
    soon = utcnow()
    now: list[bytes] = []
    later: dict[bytes, float] = {}
    for envelope in envelopes:
        message = messages.encode(envelope)
        if envelope.due_at is None or envelope.due_at <= soon:
            now.append(message)
        else:
            later[message] = envelope.due_at.timestamp()
    with redis.client().pipeline(transaction=bool(now and later)) as pipe:
        if now:
            pipe.lpush(WAIT, *now)
        if later:
            pipe.zadd(SCHEDULE, later)
        pipe.execute()


def promote() -> None:
    """Move every scheduled message that is due to the queue, a batch at a time."""
    while _PROMOTE(keys=[SCHEDULE, WAIT], args=[BATCH]) == BATCH:
        pass
