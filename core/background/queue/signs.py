"""What a process says of itself, each in a script: that it lives, that it has ended, and what it holds."""

from __future__ import annotations

from core.data import redis

# The frames that a process holds, for one that does not know what became of its last step: those that it took; and
# those that it found to stall more often than so many times, which it is not to run.
HELD = redis.script(
    """
local taken, dead, found = {}, {}, redis.call('HGETALL', KEYS[1])
for at = 1, #found, 2 do
  local into = tonumber(redis.call('HGET', KEYS[2], found[at]) or 0) > tonumber(ARGV[1]) and dead or taken
  into[#into + 1] = found[at + 1]
end
return {taken, dead}
"""
)

# Its leases lapse at once: the process has ended, and says so.
LEAVE = redis.script(
    """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then redis.call('ZADD', KEYS[1], 1, ARGV[1]) end
return 1
"""
)
# It has not: its work goes on though its loop does not turn. A beat that comes late raises nobody who has left.
BEAT = redis.script(
    """
local time, lapses = redis.call('TIME'), redis.call('ZSCORE', KEYS[1], ARGV[1])
if lapses and tonumber(lapses) > 1 then
  redis.call('ZADD', KEYS[1], 'XX', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], ARGV[1])
  return 1
end
return 0
"""
)
