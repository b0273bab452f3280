"""What the scripts of a queue have in common: frames, lanes that take turns, and gates.

A *frame* is what lies in the lists: 16 characters that no other enqueueing has (the nonce, by which it is leased), a
head, a colon, and the message itself, which nothing here reads. The head is the priority, then the lane, then gates:
``0/<lane>;c1=<key>;r14.1000=<key>``. Times are milliseconds of the server's clock.

**Lanes.** Each tenant's jobs wait in a lane of their own. The lane that has been served least goes first; one that was
idle comes in ahead of the others by at most ``CREDIT`` jobs, so a tenant with a million jobs holds nobody up. Within a
lane the higher priority goes first, and of equals the first.

**Gates.** ``c`` lets so many with the same key run at once, ``r`` so many start in any so many milliseconds
(``lua_gates.py``). Of each lane it is counted how many wait so, which ``PUSH`` adds to those in the lane; should the
count ever be wrong, that is forgotten as soon as nothing waits.

**Stories.** A job that is followed says so in its head, ``;s0=<id>``. What happens to it goes to a stream, and what
that makes of its state to a hash beside it; both are gone some time after its end.
"""

from __future__ import annotations

CREDIT = 500
EVENTS = 1000
"""Of a job's story, about: the oldest go first."""
KEPT, KEPT_ENDED = 30 * 86_400, 86_400
"""Seconds for which a story is kept after its last event, and after the job's end."""

BASE = f"""
local P = KEYS[1]
local SCHED, TURNS, IDLE, PROCS, STALLS = P .. 'sched', P .. 'turns', P .. 'idle', P .. 'procs', P .. 'stalls'
local STAT, DEAD, DEAD_AT = P .. 'stat', P .. 'dead', P .. 'dead_at'
local GATED, GATE_LENGTHS = P .. 'gated', P .. 'gate_lengths'
local CREDIT = {CREDIT}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function head_of(frame)
  return string.match(frame, '^([^:]*):', 17) or '0'
end

local function lane_of(head)
  return string.match(head, '^%-?%d+/([^;]*)') or ''
end

local function ring()
  redis.call('PUBLISH', 'pb:q:bell', string.match(P, '{{(.*)}}'))
end
"""

LANES = """
local function enter(lane)
  if redis.call('ZSCORE', TURNS, lane) then return end
  local turn = tonumber(redis.call('HGET', STAT, 'turn') or 0)
  local used = tonumber(redis.call('ZSCORE', IDLE, lane) or turn - CREDIT)
  redis.call('ZADD', TURNS, math.max(used, turn - CREDIT), lane)
  redis.call('ZREM', IDLE, lane)
end

-- Before all others of its lane.
local function first(frame, back)
  local lane = lane_of(head_of(frame))
  redis.call(back and 'LPUSH' or 'RPUSH', P .. 'f:' .. lane, frame)
  enter(lane)
end

-- Of equal priority the first goes first: what is added gets the next number, what comes back one below all others.
local function offer(frame, back)
  local head = head_of(frame)
  local lane = lane_of(head)
  local priority = tonumber(string.match(head, '^%-?%d+')) or 0
  if priority == 0 then
    if redis.call(back and 'LPUSH' or 'RPUSH', P .. 'w:' .. lane, frame) > 1 then return end
  else
    local number = redis.call('HINCRBY', STAT, 'sequence', 1)
    local member = (back and string.format('0%015d', 1e15 - 1 - number) or string.format('1%015d', number)) .. frame
    redis.call('ZADD', P .. 'z:' .. lane, -priority, member)
  end
  enter(lane)
end

local function count(lengths, frame, by)
  local lane = lane_of(head_of(frame))
  if redis.call('HINCRBY', lengths, lane, by) <= 0 then redis.call('HDEL', lengths, lane) end
end

local function place(due, frame)
  if tonumber(due) > now then redis.call('ZADD', SCHED, due, frame) else offer(frame, false) end
end
"""

ENDED = """
-- Keep what is told of jobs that have ended, and count them: for the queue, and by the hour with how long they waited
-- and ran for the queue, the task and the lane. Of each is told its task, its lane and two buckets of time (or ``-``
-- where nobody knows; ``tallies.py``), and a record.
local function add(sums, field, many)
  sums[field] = (sums[field] or 0) + many
end

local function keep(ended, what, many)
  if #ended == 0 then return end
  local hour, told, sums, ever, records = P .. 't:' .. math.floor(now / 3600000), {}, {}, {}, {}
  for at, each in ipairs(ended) do
    records[at] = each[2]
    add(told, each[1], 1)
  end
  local room = redis.call('HLEN', hour) < 20000
  for alike, times in pairs(told) do
    local task, lane, waited, ran = string.match(alike, '^(%S+) (%S*) ([%d-]+) ([%d-]+)$')
    if task then
      for whose, kept in pairs({['q'] = true, ['k:' .. task] = true, ['l:' .. lane] = room}) do
        if kept then
          if waited ~= '-' then
            add(sums, whose .. '|w' .. waited, times)
            add(sums, whose .. '|r' .. ran, times)
          end
          add(sums, whose .. '|' .. what, times)
        end
      end
      add(ever, 'k:' .. task .. '|' .. what, times)
      add(ever, 'l:' .. lane .. '|' .. what, times)
    end
  end
  redis.call('HINCRBY', STAT, what, #ended)
  local list = P .. (what == 'completed' and 'done' or 'failed')
  redis.call('LPUSH', list, unpack(records))
  redis.call('LTRIM', list, 0, many - 1)
  for field, times in pairs(sums) do redis.call('HINCRBY', hour, field, times) end
  for field, times in pairs(ever) do redis.call('HINCRBY', P .. 'ended', field, times) end
  redis.call('EXPIRE', hour, 93600)
end
"""

# What follows from a task that came through Huey's own API.
KEEPING = """
local fired, counted = {}, false
local function of_huey(what, first, second, nonce)
  local UNTIL, CHORDS = P .. 'res_until', P .. 'chords'
  if what == 'keep' then
    redis.call('HSET', P .. 'res', first, second)
    redis.call('ZREM', UNTIL, first)
  elseif what == 'unset' then
    redis.call('HDEL', P .. 'rev', first)
    redis.call('HDEL', P .. 'res', first)
    redis.call('ZREM', UNTIL, first)
  elseif what == 'member' then
    -- A member of a chord counts once, however often it runs.
    counted = redis.call('HSETNX', CHORDS, first, second) == 1
  elseif what == 'fire' then
    local chord, size = string.match(first, '^(.*):(%d+)$')
    if counted and redis.call('HINCRBY', CHORDS, chord, 1) == tonumber(size) then
      redis.call('HDEL', CHORDS, chord)
      offer(second, false)
      fired[#fired + 1] = nonce
    end
  elseif what == 'gathered' then
    for member = 0, second - 1 do redis.call('HDEL', CHORDS, first .. ':' .. member) end
  end
end
"""

STORIES = f"""
local function follows(head)
  return string.match(head, ';s0=([^;]*)')
end

-- What Python says of an event (``stories.py``); nil for what cannot be read, and no step fails for that.
local function event(text)
  local well, told = pcall(cjson.decode, text)
  return well and told or nil
end

local function tell(id, told)
  local story, facts = P .. 's:' .. id, P .. 'h:' .. id
  if not told or (not told.begins and redis.call('EXISTS', facts) == 0) then return end
  for _, name in ipairs(told.gone or {{}}) do redis.call('HDEL', facts, name) end
  for name, value in pairs(told.facts or {{}}) do redis.call('HSET', facts, name, value) end
  if told.now and told.now ~= '' then redis.call('HSET', facts, told.now, now) end
  local number = redis.call('HINCRBY', facts, 'events', 1)
  redis.call('XADD', story, 'MAXLEN', '~', {EVENTS}, '*', 'what', told.what, 'seq', number, 'data', told.data or '{{}}')
  redis.call('EXPIRE', story, told.keep or {KEPT})
  redis.call('EXPIRE', facts, told.keep or {KEPT})
end

-- A job whose process did not come to an end with it.
local function tell_stalled(head)
  local id = follows(head)
  if id and redis.call('HGET', P .. 'h:' .. id, 'state') == 'running' then
    tell(id, {{what = 'stalled', facts = {{state = 'stalled'}}}})
  end
end
"""
