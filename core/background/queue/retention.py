"""Forgetting what has ended long ago: dead letters, the records of jobs, and counts of what is no more.

What may run yet is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec

from core.background.queue.keys import Keys
from core.background.queue.lua import BASE
from core.data import redis

BATCH = 500

FORGET = redis.script(
    BASE
    + """
-- ARGV: the millisecond before which a letter, and the time before which a record is old; how many at most of each.
local most, letters, records = tonumber(ARGV[3]), 0, 0
for _, key in ipairs(redis.call('ZRANGEBYSCORE', DEAD_AT, '-inf', '(' .. ARGV[1], 'LIMIT', 0, most)) do
  redis.call('HDEL', DEAD, key)
  redis.call('ZREM', DEAD_AT, key)
  letters = letters + 1
end
for _, list in ipairs({P .. 'done', P .. 'failed'}) do
  while records < most do
    local last = redis.call('LINDEX', list, -1)
    local at = last and string.match(last, '"ended_at":"([^"]+)"')
    if not at or at >= ARGV[2] then break end
    redis.call('RPOP', list)
    records = records + 1
  end
end
return {letters, records}
"""
)


class Forgotten(NamedTuple):
    letters: int
    records: int


def forget(queue: str, letters_before: datetime, records_before: datetime) -> Forgotten:
    """Throw away the dead letters and the records of a queue from before these times."""
    at = msgspec.json.encode(records_before).decode().strip('"')
    args = [int(letters_before.timestamp() * 1000), at, BATCH]
    letters = records = 0
    while True:
        found: list[int] = FORGET(keys=[Keys(queue).prefix], args=args)
        letters, records = letters + found[0], records + found[1]
        if max(found) < BATCH:
            return Forgotten(letters, records)


def forget_counts(queue: str, whose: Iterable[str]) -> None:
    """Throw away what was counted since the queue began of these tasks and lanes, named as ``tallies.ever`` does."""
    fields = [f"{one}|{what}" for one in whose for what in ("completed", "failed")]
    for start in range(0, len(fields), BATCH):
        redis.client().hdel(Keys(queue).ended, *fields[start : start + BATCH])
