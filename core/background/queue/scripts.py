"""What happens to jobs in Redis, each step one script: at no moment is a job in no place, or a lease without a process.

What their parts mean is told in ``lua.py`` and ``lua_gates.py``. KEYS[1] is the prefix of all keys of the queue, which
hash to one slot.
"""

from __future__ import annotations

from core.background.queue.lua import BASE, ENDED, KEEPING, KEPT_ENDED, LANES, STORIES
from core.background.queue.lua_gates import GATES
from core.background.queue.lua_groups import GROUPS
from core.data import redis

NAMES = "pb:q:names"
"""A set: every queue that has ever had something in it, or that a worker consumes or has tasks for."""

PUSH = redis.script(
    BASE
    + LANES
    + STORIES
    + f"local KEPT_ENDED = {KEPT_ENDED}"
    + """
-- ARGV: how many may wait in a lane, then for each job: due, frame, whether it may have been put here before, the key
-- of its twins or nothing, milliseconds for which that stands, id of the job where it has either, how its story begins
-- or nothing. Without a frame it is the story alone of a job that comes later, unless that has one. Answers the lanes
-- that are full now.
local SEEN, full, lanes = P .. 'seen', {}, {}
for at = 2, #ARGV, 7 do
  local frame, once, twins, id = ARGV[at + 1], ARGV[at + 2] == '1', ARGV[at + 3], ARGV[at + 5]
  local nonce = string.sub(frame, 1, 16)
  if frame == '' then
    if redis.call('EXISTS', P .. 'h:' .. id) == 0 then tell(id, event(ARGV[at + 6])) end
  elseif once and (redis.call('SISMEMBER', SEEN .. '0', nonce) == 1 or redis.call('SADD', SEEN, nonce) == 0) then
    redis.call('HINCRBY', STAT, 'repeated', 1)
  else
    local first = twins == '' and id or redis.call('GET', twins) or id
    if first == id then
      if twins ~= '' then redis.call('SET', twins, id, 'PX', ARGV[at + 4]) end
      place(ARGV[at], frame)
    else
      redis.call('HINCRBY', STAT, 'twins', 1)
    end
    local told = ARGV[at + 6] ~= '' and event(ARGV[at + 6])
    if told and first ~= id then
      told.what, told.data, told.now, told.keep = 'merged', cjson.encode({into = first}), 'ended_at', KEPT_ENDED
      told.facts.state, told.facts.into = 'merged', first
    end
    if told then tell(id, told) end
  end
  if frame ~= '' then lanes[lane_of(head_of(frame))] = true end
end

for lane in pairs(lanes) do
  local many = redis.call('LLEN', P .. 'w:' .. lane) + redis.call('ZCARD', P .. 'z:' .. lane)
  many = many + redis.call('LLEN', P .. 'f:' .. lane) + (redis.call('HGET', GATE_LENGTHS, lane) or 0)
  if many >= tonumber(ARGV[1]) then full[#full + 1] = lane end
end

-- What was put here is remembered in two generations, each of half an hour or, where jobs are many, of so many.
local left = redis.call('TTL', SEEN)
if left == -1 then
  redis.call('EXPIRE', SEEN, 3600)
elseif left >= 0 and (left < 1800 or redis.call('SCARD', SEEN) > 100000) then
  redis.call('RENAME', SEEN, SEEN .. '0')
  redis.call('EXPIRE', SEEN .. '0', 3600)
  redis.call('HSET', STAT, 'remembers', redis.call('HGET', STAT, 'rotated') or 0, 'rotated', now)
end
ring()
return full
"""
)

# Renew the lease, settle what is finished, promote what is due, take what is wanted.
STEP = redis.script(
    BASE
    + LANES
    + GATES
    + STORIES
    + ENDED
    + KEEPING
    + GROUPS
    + """
-- ARGV: process, milliseconds of lease, wanted, records kept of done and failed, then for each settled job its nonce,
-- how many effects follow, and those: an operation and two arguments.
local LEASES, process, wanted = P .. 'p:' .. ARGV[1], ARGV[1], tonumber(ARGV[3])

-- The first write must not ask for memory: where there is none left, a settled job must leave all the same.
redis.call('HDEL', STALLS, '')
local known = redis.call('ZSCORE', PROCS, process)

local at, done, failed, lost, given_back, answered = 6, {}, {}, {}, false, false
while at <= #ARGV do
  local nonce, effects = ARGV[at], tonumber(ARGV[at + 1])
  local mine = redis.call('HDEL', LEASES, nonce) == 1
  if not mine then lost[#lost + 1] = nonce
  elseif redis.call('HEXISTS', STALLS, nonce) == 1 then
    leave(nonce, DOUBT)
    -- Of one that goes back nobody knows yet whether it ends its processes.
    if effects == 0 or ARGV[at + effects * 3 - 1] ~= 'back' then redis.call('HDEL', STALLS, nonce) end
  end
  for effect = 1, effects do
    local base = at + 2 + (effect - 1) * 3
    local what, first, second = ARGV[base], ARGV[base + 1], ARGV[base + 2]
    if not mine then
      -- Somebody else has it by now, and will do what follows.
    elseif what == 'leave' then leave(nonce, second)
    elseif what == 'back' then
      give_back(second)
      tell_stalled(head_of(second))
      given_back = true
      if redis.call('GET', P .. 'probe') == process then redis.call('DEL', P .. 'probe') end
    elseif what == 'tell' then tell(first, event(second))
    elseif what == 'put' then place(first, second)
    elseif what == 'count' then redis.call('HINCRBY', STAT, first, second)
    elseif what == 'done' then done[#done + 1] = {first, second}
    elseif what == 'failed' then failed[#failed + 1] = {first, second}
    elseif what == 'free' then
      if redis.call('GET', first) == second then redis.call('DEL', first) end
    elseif what == 'dead' then
      redis.call('HSET', DEAD, first, second)
      redis.call('ZADD', DEAD_AT, now, first)
    elseif what == 'answered' then answered = true
    elseif what == 'trip' then
      -- Its outside service is away. After so many in a row the queue is closed for a while, each time for longer.
      local row, open = redis.call('HINCRBY', STAT, 'row', 1), redis.call('HGET', STAT, 'open_until')
      if row >= tonumber(first) and (not open or tonumber(open) <= now) then
        local times = redis.call('HINCRBY', STAT, 'trips', 1)
        redis.call('HSET', STAT, 'open_until', now + math.min(second * 2 ^ (times - 1), 600000))
        redis.call('DEL', P .. 'probe')
      end
    elseif not of_group(what, first, second) then
      of_huey(what, first, second, nonce)
    end
  end
  at = at + 2 + effects * 3
end
if given_back then ring() end
keep(done, 'completed', ARGV[4])
keep(failed, 'failed', ARGV[5])
local well = #done > 0

redis.call('ZADD', PROCS, now + ARGV[2], process)

local due = redis.call('ZRANGEBYSCORE', SCHED, '-inf', now, 'LIMIT', 0, 128)
for _, frame in ipairs(due) do offer(frame, false) end
if #due > 0 then redis.call('ZREM', SCHED, unpack(due)) end
serve_more()

local state, tries = redis.call('HMGET', STAT, 'paused', 'row', 'trips', 'open_until', 'turn'), false
if state[3] then
  local over = tonumber(state[4]) <= now
  if well or (over and answered) then
    redis.call('HDEL', STAT, 'row', 'trips', 'open_until')
    redis.call('DEL', P .. 'probe')
  elseif wanted > 0 and over and redis.call('EXISTS', P .. 'probe') == 0 then
    -- One tries whether it is back; the others wait for what becomes of that.
    wanted, tries = 1, true
  else
    wanted = 0
  end
elseif (well or answered) and state[2] then
  redis.call('HDEL', STAT, 'row')
end
if state[1] then wanted = 0 end

local taken, tried = {}, 0
local function lease(frame, was_first)
  if admit(frame, was_first) then
    redis.call('HSET', LEASES, string.sub(frame, 1, 16), frame)
    taken[#taken + 1] = frame
  else
    tried = tried + 1
  end
end
local function ranked(key, low, high, many, found)
  if many <= 0 then return end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, low, high, 'LIMIT', 0, many)) do
    redis.call('ZREM', key, member)
    found[#found + 1] = string.sub(member, 17)
  end
end
-- At most so many of a lane, how many of them were first in it, and how many it has left.
local function next_of(lane, many)
  local ahead, plain, prio = P .. 'f:' .. lane, P .. 'w:' .. lane, P .. 'z:' .. lane
  local found = redis.call('LPOP', ahead, many) or {}
  local firsts = #found
  local any = redis.call('ZCARD', prio) > 0
  if any then ranked(prio, '-inf', '(0', many - #found, found) end
  if #found < many then
    for _, frame in ipairs(redis.call('LPOP', plain, many - #found) or {}) do found[#found + 1] = frame end
  end
  if any then ranked(prio, '(0', '+inf', many - #found, found) end
  local left = redis.call('LLEN', ahead) + redis.call('LLEN', plain) + (any and redis.call('ZCARD', prio) or 0)
  return found, firsts, left
end
if wanted > 0 then let_through(wanted) end
local turn = tonumber(state[5] or 0)
while #taken < wanted and tried < 200 do
  local lanes = redis.call('ZRANGE', TURNS, 0, 1, 'WITHSCORES')
  if not lanes[1] then break end
  local lane, used, many = lanes[1], tonumber(lanes[2]), wanted - #taken
  if lanes[3] then many = math.min(many, math.floor(lanes[4] - used) + 1) end
  local found, firsts, left = next_of(lane, many)
  turn = math.max(turn, used + #found)
  if left > 0 then
    redis.call('ZINCRBY', TURNS, #found, lane)
  else
    redis.call('ZREM', TURNS, lane)
    redis.call('ZADD', IDLE, used + #found, lane)
  end
  for number, frame in ipairs(found) do lease(frame, number <= firsts) end
end
if #taken > 0 then redis.call('HSET', STAT, 'turn', turn) end
if #taken > 0 and tries then redis.call('SET', P .. 'probe', process, 'PX', 15000) end

local soon = redis.call('ZRANGE', SCHED, 0, 0, 'WITHSCORES')[2]
local passing = wanted > 0 and redis.call('ZRANGE', RATES, 0, 0, 'WITHSCORES')[2]
if passing and (not soon or tonumber(passing) < tonumber(soon)) then soon = passing end
local rest = wanted > 0 and redis.call('ZCARD', TURNS) + redis.call('HLEN', UNSERVED) or 0
local wait = soon and math.max(0, math.ceil(soon - now)) or -1
return {taken, lost, known and 1 or 0, wait, rest, fired, redis.call('HLEN', P .. 'rev')}
"""
)

# Give back what processes hold whose leases have lapsed. What stalls too often is leased to whoever finds it so, who is
# to settle it and does not run it; should that one die, the next who finds it is to.
REAP = redis.script(
    BASE
    + LANES
    + GATES
    + STORIES
    + """
-- ARGV: how many at most, how often a job may stall, the process that finds it, milliseconds of its lease.
local limit, most, heir = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
redis.call('HDEL', STALLS, '')
-- It renews its own lease first, unless it was given up: that its next step is to tell it.
redis.call('ZADD', PROCS, 'XX', now + ARGV[4], heir)
redis.call('ZREMRANGEBYSCORE', IDLE, '-inf', (redis.call('HGET', STAT, 'turn') or 0) - CREDIT)
local stalled, dead = {}, {}
for _, process in ipairs(redis.call('ZRANGEBYSCORE', PROCS, '-inf', now, 'LIMIT', 0, 20)) do
  local leases = P .. 'p:' .. process
  local found = redis.call('HGETALL', leases)
  local last = math.min(#found, (limit - #stalled - #dead) * 2)
  for at = last - 1, 1, -2 do
    local nonce, frame = found[at], found[at + 1]
    redis.call('HDEL', leases, nonce)
    leave(nonce, DOUBT)
    tell_stalled(head_of(frame))
    if redis.call('HINCRBY', STALLS, nonce, 1) > most then
      dead[#dead + 1] = frame
      redis.call('ZADD', PROCS, now + ARGV[4], heir)
      redis.call('HSET', P .. 'p:' .. heir, nonce, frame)
    else
      stalled[#stalled + 1] = frame
      give_back(frame)
      redis.call('HINCRBY', STAT, 'stalled', 1)
    end
  end
  if last < #found then break end
  redis.call('ZREM', PROCS, process)
end
if #stalled > 0 then ring() end
return {stalled, dead}
"""
)

# Put a dead job on the queue again as the frame that is given, with how its story begins and, where it has twins, their
# key and for how many milliseconds it keeps them away, or throw it away.
REPLAY = redis.script(
    BASE
    + LANES
    + STORIES
    + """
if redis.call('HDEL', DEAD, ARGV[1]) == 0 then return 0 end
redis.call('ZREM', DEAD_AT, ARGV[1])
if ARGV[2] ~= '' then
  offer(ARGV[2], false)
  if ARGV[4] ~= '' then tell(ARGV[3], event(ARGV[4])) end
  if ARGV[5] ~= '' then redis.call('SET', ARGV[5], ARGV[3], 'NX', 'PX', ARGV[6]) end
  ring()
end
return 1
"""
)

# Tell of a job that a process runs, unless it has lost its lease on it.
TELL = redis.script(
    BASE
    + STORIES
    + """
-- ARGV: process, nonce, id of the job, then events. Answers whether the lease stands.
if redis.call('HEXISTS', P .. 'p:' .. ARGV[1], ARGV[2]) == 0 then return 0 end
for at = 4, #ARGV do tell(ARGV[3], event(ARGV[at])) end
return 1
"""
)
