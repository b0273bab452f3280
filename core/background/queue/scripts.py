"""What happens to jobs in Redis, each step one script: at no moment is a job in no place, or a lease without a process.

A *frame* is what lies in the lists: 16 characters that no other enqueueing has (the nonce, by which it is leased), the
priority and a colon, and the message itself, which nothing here reads. Times are milliseconds of the server's clock.
"""

from __future__ import annotations

from core.data import redis

NAMES = "pb:q:names"
"""A set: every queue that has ever had something in it."""

# Every script begins with the keys in the order of ``Keys.all()``.
_COMMON = """
local WAIT, PRIO, SCHED, PROCS, STALLS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local DEAD, DEAD_AT, STAT, DONE, FAILED, PAUSE = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function priority_of(frame)
  return tonumber(string.match(frame, '^(-?%d+):', 17)) or 0
end

-- Of equal priority the first goes first: what is added gets the next number, what comes back a low one.
local function offer(frame, back)
  local priority = priority_of(frame)
  if priority == 0 then
    redis.call(back and 'LPUSH' or 'RPUSH', WAIT, frame)
  else
    local number = redis.call('HINCRBY', STAT, 'sequence', 1)
    redis.call('ZADD', PRIO, -priority, string.format(back and '0%015d' or '1%015d', number) .. frame)
  end
end

local function place(due, frame)
  if tonumber(due) > now then redis.call('ZADD', SCHED, due, frame) else offer(frame, false) end
end
"""

PUSH = redis.script(
    _COMMON
    + """
-- ARGV, for each job: due, frame, the key of its twins or nothing, milliseconds for which that stands, id of the job.
for at = 1, #ARGV, 5 do
  local twins, id = ARGV[at + 2], ARGV[at + 4]
  local first = twins == '' or redis.call('GET', twins) or id
  if twins == '' then
    place(ARGV[at], ARGV[at + 1])
  elseif first == id then
    redis.call('SET', twins, id, 'PX', ARGV[at + 3])
    place(ARGV[at], ARGV[at + 1])
  else
    redis.call('HINCRBY', STAT, 'twins', 1)
  end
end
redis.call('PUBLISH', 'pb:q:bell', string.match(WAIT, '{(.*)}'))
return #ARGV / 5
"""
)

# Renew the lease, settle what is finished, promote what is due, take what is wanted.
STEP = redis.script(
    _COMMON
    + """
-- KEYS[12]: the leases of the process. ARGV: process, milliseconds of lease, wanted, records kept of done and failed,
-- then for each settled job its nonce, how many effects follow, and those: an operation and two arguments.
local LEASES, process, wanted = KEYS[12], ARGV[1], tonumber(ARGV[3])

-- The first write must not ask for memory: where there is none left, a settled job must leave all the same.
redis.call('HDEL', STALLS, '')
local known = redis.call('ZSCORE', PROCS, process)

local lost, at = {}, 6
while at <= #ARGV do
  local nonce, effects = ARGV[at], tonumber(ARGV[at + 1])
  local mine = redis.call('HDEL', LEASES, nonce) == 1
  if mine then redis.call('HDEL', STALLS, nonce) else lost[#lost + 1] = nonce end
  for effect = 1, effects do
    local base = at + 2 + (effect - 1) * 3
    local what, first, second = ARGV[base], ARGV[base + 1], ARGV[base + 2]
    if not mine then
      -- Somebody else has it by now, and will do what follows.
    elseif what == 'back' then offer(second, true)
    elseif what == 'put' then place(first, second)
    elseif what == 'count' then redis.call('HINCRBY', STAT, first, second)
    elseif what == 'done' then
      redis.call('LPUSH', DONE, second)
      redis.call('LTRIM', DONE, 0, ARGV[4] - 1)
    elseif what == 'failed' then
      redis.call('LPUSH', FAILED, second)
      redis.call('LTRIM', FAILED, 0, ARGV[5] - 1)
    elseif what == 'free' then
      if redis.call('GET', first) == second then redis.call('DEL', first) end
    elseif what == 'dead' then
      redis.call('HSET', DEAD, first, second)
      redis.call('ZADD', DEAD_AT, now, first)
    end
  end
  at = at + 2 + effects * 3
end

redis.call('ZADD', PROCS, now + ARGV[2], process)

local due = redis.call('ZRANGEBYSCORE', SCHED, '-inf', now, 'LIMIT', 0, 128)
for _, frame in ipairs(due) do offer(frame, false) end
if #due > 0 then redis.call('ZREM', SCHED, unpack(due)) end

local taken = {}
local function lease(frame)
  redis.call('HSET', LEASES, string.sub(frame, 1, 16), frame)
  taken[#taken + 1] = frame
end
local function ranked(low, high)
  while #taken < wanted do
    local found = redis.call('ZRANGEBYSCORE', PRIO, low, high, 'LIMIT', 0, 1)[1]
    if not found then return end
    redis.call('ZREM', PRIO, found)
    lease(string.sub(found, 17))
  end
end
if wanted > 0 and redis.call('EXISTS', PAUSE) == 0 then
  ranked('-inf', '(0')
  while #taken < wanted do
    local frame = redis.call('LPOP', WAIT)
    if not frame then break end
    lease(frame)
  end
  ranked('(0', '+inf')
end

local soon = redis.call('ZRANGE', SCHED, 0, 0, 'WITHSCORES')[2]
local rest = redis.call('LLEN', WAIT) + redis.call('ZCARD', PRIO)
return {taken, lost, known and 1 or 0, soon and math.max(0, math.ceil(soon - now)) or -1, rest}
"""
)

# Give back what processes hold whose leases have lapsed; whoever stalls too often is dead.
REAP = redis.script(
    _COMMON
    + """
-- ARGV: how many at most, how often a job may stall; KEYS[12]: the prefix of leases.
local limit, most = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('HDEL', STALLS, '')
local stalled, dead = {}, {}
for _, process in ipairs(redis.call('ZRANGEBYSCORE', PROCS, '-inf', now, 'LIMIT', 0, 20)) do
  local leases = KEYS[12] .. process
  local found = redis.call('HGETALL', leases)
  local last = math.min(#found, (limit - #stalled - #dead) * 2)
  for at = last - 1, 1, -2 do
    local nonce, frame = found[at], found[at + 1]
    redis.call('HDEL', leases, nonce)
    if redis.call('HINCRBY', STALLS, nonce, 1) > most then
      redis.call('HDEL', STALLS, nonce)
      dead[#dead + 1] = frame
      redis.call('HSET', DEAD, nonce, '\\n' .. frame)
      redis.call('ZADD', DEAD_AT, now, nonce)
      redis.call('HINCRBY', STAT, 'failed', 1)
    else
      stalled[#stalled + 1] = frame
      offer(frame, true)
      redis.call('HINCRBY', STAT, 'stalled', 1)
    end
  end
  if last < #found then break end
  redis.call('ZREM', PROCS, process)
end
if #stalled > 0 then redis.call('PUBLISH', 'pb:q:bell', string.match(WAIT, '{(.*)}')) end
return {stalled, dead}
"""
)

# Put a dead job on the queue again as the frame that is given, or throw it away.
REPLAY = redis.script(
    _COMMON
    + """
if redis.call('HDEL', DEAD, ARGV[1]) == 0 then return 0 end
redis.call('ZREM', DEAD_AT, ARGV[1])
if ARGV[2] ~= '' then
  offer(ARGV[2], false)
  redis.call('PUBLISH', 'pb:q:bell', string.match(WAIT, '{(.*)}'))
end
return 1
"""
)

# The frames that a process holds, for one that does not know what became of its last step.
HELD = redis.script("return redis.call('HVALS', KEYS[1])")

# Its leases lapse at once: the process has ended, and says so.
LEAVE = redis.script(
    """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then redis.call('ZADD', KEYS[1], 1, ARGV[1]) end
return 1
"""
)
# It has not: its work goes on though its loop does not turn.
BEAT = redis.script(
    """
local time = redis.call('TIME')
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('ZADD', KEYS[1], 'XX', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], ARGV[1])
  return 1
end
return 0
"""
)
