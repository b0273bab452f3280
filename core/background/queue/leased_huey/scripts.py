"""What Huey keeps beside its queue by key, each step one script.

``rev`` is a hash of revocations, ``res`` of all else, results and locks; ``res_until`` (sorted set, by millisecond)
says when an entry of that lapses; ``chords`` has the results of members until their callback has them. KEYS[1] is the
prefix of all keys of the queue.
"""

from __future__ import annotations

from core.data import redis

_BASE = """
local RES, REV, UNTIL = KEYS[1] .. 'res', KEYS[1] .. 'rev', KEYS[1] .. 'res_until'
local function place_of(key) return string.find(key, '^rt?:') and REV or RES end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs(redis.call('ZRANGEBYSCORE', UNTIL, '-inf', now)) do
  redis.call('HDEL', RES, key)
  redis.call('ZREM', UNTIL, key)
end
"""

PUT = redis.script(
    _BASE
    + """
redis.call('HSET', place_of(ARGV[1]), ARGV[1], ARGV[2])
redis.call('ZREM', UNTIL, ARGV[1])
-- Pumps look at once: they have tasks that nobody has begun.
if place_of(ARGV[1]) == REV then redis.call('PUBLISH', 'pb:q:bell', string.match(KEYS[1], '{(.*)}')) end
return 1
"""
)

PEEK = redis.script(
    _BASE
    + """
local found = {}
for at, key in ipairs(ARGV) do found[at] = redis.call('HGET', place_of(key), key) end
return found
"""
)

POP = redis.script(
    _BASE
    + """
local value = redis.call('HGET', place_of(ARGV[1]), ARGV[1])
redis.call('HDEL', place_of(ARGV[1]), ARGV[1])
redis.call('ZREM', UNTIL, ARGV[1])
return value
"""
)

# ARGV: key, value, milliseconds or 0.
PUT_IF_EMPTY = redis.script(
    _BASE
    + """
if redis.call('HSETNX', place_of(ARGV[1]), ARGV[1], ARGV[2]) == 0 then return 0 end
if tonumber(ARGV[3]) > 0 then redis.call('ZADD', UNTIL, now + ARGV[3], ARGV[1]) end
return 1
"""
)

DELETE_IF = redis.script(
    _BASE
    + """
if redis.call('HGET', RES, ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZREM', UNTIL, ARGV[1])
return redis.call('HDEL', RES, ARGV[1])
"""
)

# ARGV: milliseconds, then keys and the values that they must have.
RENEW = redis.script(
    _BASE
    + """
for at = 2, #ARGV, 2 do
  if redis.call('HGET', RES, ARGV[at]) == ARGV[at + 1] then redis.call('ZADD', UNTIL, now + ARGV[1], ARGV[at]) end
end
return 1
"""
)

ALL = redis.script(_BASE + "return {redis.call('HGETALL', RES), redis.call('HGETALL', REV)}")

SIZE = redis.script(_BASE + "return redis.call('HLEN', RES) + redis.call('HLEN', REV)")

# What is due by the clock of whoever asks.
DUE = redis.script(
    """
local due = redis.call('ZRANGEBYSCORE', KEYS[1] .. 'sched', '-inf', ARGV[1])
for _, frame in ipairs(due) do redis.call('ZREM', KEYS[1] .. 'sched', frame) end
return due
"""
)

# A task that was never on the queue is leased all the same, so that it ends like the others. ARGV: process,
# milliseconds of lease, nonce, frame.
ADOPT = redis.script(
    _BASE
    + """
redis.call('HSET', KEYS[1] .. 'p:' .. ARGV[1], ARGV[3], ARGV[4])
redis.call('ZADD', KEYS[1] .. 'procs', now + ARGV[2], ARGV[1])
return 1
"""
)
