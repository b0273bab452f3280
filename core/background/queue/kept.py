"""Whether queues still have what was put on them, as far as they remember: asked some seconds later, before the row of
the outbox goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from core.background.queue import delivery
from core.background.queue.framing import nonce_of
from core.background.queue.keys import Keys
from core.background.queue.routes import route_of
from core.data import redis
from core.data.envelopes import Handed

# ARGV: of each job its nonce, and when it was put here by the clock of whoever did. Answers which were not, by their
# number. One that was put here so long ago that it may have been forgotten (``PUSH``) counts as kept; as do those of
# some seconds more, for clocks differ.
LOST = redis.script(
    """
local P, time, lost = KEYS[1], redis.call('TIME'), {}
local remembers = tonumber(redis.call('HGET', P .. 'stat', 'remembers') or 0)
local since = math.max(remembers + 10000, time[1] * 1000 - 1500000)
for at = 1, #ARGV, 2 do
  local nonce = ARGV[at]
  if tonumber(ARGV[at + 1]) > since
    and redis.call('SISMEMBER', P .. 'seen', nonce) + redis.call('SISMEMBER', P .. 'seen0', nonce) == 0 then
    lost[#lost + 1] = (at - 1) / 2
  end
end
return lost
"""
)


def lost(handed: Sequence[Handed]) -> set[UUID]:
    """The ids of jobs that no queue has, and that were put on one a moment ago. Raises redis-py's errors."""
    by_queue: defaultdict[str, list[Handed]] = defaultdict(list)
    for each in handed:
        by_queue[route_of(each.envelope.name).queue].append(each)
    missing = [each for queue, several in by_queue.items() for each in _not_on(queue, several)]
    # Whoever put it there may have known another queue as its own.
    for queue in delivery.names() if missing else ():
        missing = list(_not_on(queue, missing))
    return {each.envelope.id for each in missing}


def _not_on(queue: str, handed: Sequence[Handed]) -> Iterable[Handed]:
    if not handed:
        return []
    args: list[bytes | int] = []
    for envelope, at in handed:
        args += (nonce_of(envelope), int(at.timestamp() * 1000))
    return [handed[number] for number in LOST(keys=[Keys(queue).prefix], args=args)]
