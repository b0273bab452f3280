"""What the scripts of a queue have in common: frames, lanes that take turns, and gates.

A *frame* is what lies in the lists: 16 characters that no other enqueueing has (the nonce, by which it is leased), a
head, a colon, and the message itself, which nothing here reads. The head is the priority, then the lane, then gates:
``0/<lane>;c1=<key>;r14.1000=<key>``. Times are milliseconds of the server's clock.

**Lanes.** Each tenant's jobs wait in a lane of their own. The lane that has been served least goes first; one that was
idle comes in ahead of the others by at most ``CREDIT`` jobs, so a tenant with a million jobs holds nobody up. Within a
lane the higher priority goes first, and of equals the first.

**Gates.** ``c`` lets so many with the same key run at once; who must wait does so at the gate, in order, and whoever
leaves seats the next. ``r`` lets so many start in any so many milliseconds; who must wait goes to the schedule.

**Stories.** A job that is followed says so in its head, ``;s0=<id>``. What happens to it goes to a stream, and what
that makes of its state to a hash beside it; both are gone some time after its end.
"""

from __future__ import annotations

CREDIT = 500
EVENTS = 1000
"""Of a job's story, about: the oldest go first."""
KEPT, KEPT_ENDED = 30 * 86_400, 86_400
"""Seconds for which a story is kept after its last event, and after the job's end."""
STALLED = "its worker died or fell silent while it ran, again and again"

BASE = f"""
local P = KEYS[1]
local SCHED, TURNS, IDLE, PROCS, STALLS = P .. 'sched', P .. 'turns', P .. 'idle', P .. 'procs', P .. 'stalls'
local STAT, DEAD, DEAD_AT, NEXT, GATED = P .. 'stat', P .. 'dead', P .. 'dead_at', P .. 'next', P .. 'gated'
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

-- Of equal priority the first goes first: what is added gets the next number, what comes back a low one.
local function offer(frame, back)
  local head = head_of(frame)
  local lane = lane_of(head)
  local priority = tonumber(string.match(head, '^%-?%d+')) or 0
  if priority == 0 then
    if redis.call(back and 'LPUSH' or 'RPUSH', P .. 'w:' .. lane, frame) > 1 then return end
  else
    local number = redis.call('HINCRBY', STAT, 'sequence', 1)
    local member = string.format(back and '0%015d' or '1%015d', number) .. frame
    redis.call('ZADD', P .. 'z:' .. lane, -priority, member)
  end
  enter(lane)
end

local function place(due, frame)
  if tonumber(due) > now then redis.call('ZADD', SCHED, due, frame) else offer(frame, false) end
end
"""

ENDED = """
-- Keep what is told of jobs that have ended, and count them: for the queue, and by the hour with how long they waited
-- and ran for the queue, the task and the lane. Of each is told its task, its lane and two buckets of time
-- (``tallies.py``), and a record.
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
    local task, lane, waited, ran = string.match(alike, '^(%S+) (%S*) (%d+) (%d+)$')
    if task then
      for whose, kept in pairs({['q'] = true, ['k:' .. task] = true, ['l:' .. lane] = room}) do
        if kept then
          add(sums, whose .. '|w' .. waited, times)
          add(sums, whose .. '|r' .. ran, times)
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

GATES = """
local function gates(head)
  return string.gmatch(head, ';(%a)([%d%.]+)=([^;]*)')
end

-- Take a seat behind every gate that counts who is there; or wait at the first that is full.
local function seat(frame, head)
  for kind, limit, key in gates(head) do
    if kind == 'c' and redis.call('HLEN', P .. 'g:' .. key) >= tonumber(limit) then return key end
  end
  for kind, _, key in gates(head) do
    if kind == 'c' then redis.call('HSET', P .. 'g:' .. key, string.sub(frame, 1, 16), 1) end
  end
end

local function wait_at(key, frame, back)
  if redis.call(back and 'LPUSH' or 'RPUSH', P .. 'g:' .. key .. ':w', frame) == 1 then
    redis.call('SADD', GATED, key)
  end
end

local function leave(nonce, head)
  for kind, _, key in gates(head) do
    if kind == 'c' and redis.call('HDEL', P .. 'g:' .. key, nonce) == 1 then
      while true do
        local frame = redis.call('LPOP', P .. 'g:' .. key .. ':w')
        if not frame then
          redis.call('SREM', GATED, key)
          break
        end
        local full = seat(frame, head_of(frame))
        if not full then
          redis.call('RPUSH', NEXT, frame)
          break
        end
        wait_at(full, frame, full == key)
        if full == key then break end
      end
    end
  end
end

-- Whether one more may start, and if not, when to come again: each that must wait a little later than the one before.
local function rated(limit, key)
  local many, window = string.match(limit, '(%d+)%.(%d+)')
  local starts = P .. 'r:' .. key
  local oldest = redis.call('LINDEX', starts, many - 1)
  if not oldest or oldest + window <= now then return nil end
  local last = tonumber(redis.call('GET', starts .. ':n') or 0)
  local again = math.max(oldest + window, last + math.ceil(window / many))
  redis.call('SET', starts .. ':n', again, 'PX', math.ceil(again - now + window))
  return again
end

-- Whether a frame may run now; if not, it waits where it will be found. ``seated`` has been let through by a leaver.
local function admit(frame, seated)
  local head = head_of(frame)
  if not string.find(head, ';', 1, true) then return true end
  if not seated then
    local full = seat(frame, head)
    if full then
      wait_at(full, frame, false)
      return false
    end
  end
  for kind, limit, key in gates(head) do
    local again = kind == 'r' and rated(limit, key)
    if again then
      redis.call('ZADD', SCHED, again, frame)
      leave(string.sub(frame, 1, 16), head)
      return false
    end
  end
  for kind, limit, key in gates(head) do
    if kind == 'r' then
      local many, window = string.match(limit, '(%d+)%.(%d+)')
      redis.call('LPUSH', P .. 'r:' .. key, now)
      redis.call('LTRIM', P .. 'r:' .. key, 0, many - 1)
      redis.call('PEXPIRE', P .. 'r:' .. key, window)
    end
  end
  return true
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
local function tell_stalled(head, dead)
  local id = follows(head)
  if not id then return end
  if not dead then
    if redis.call('HGET', P .. 'h:' .. id, 'state') == 'running' then
      tell(id, {{what = 'stalled', facts = {{state = 'stalled'}}}})
    end
    return
  end
  local why = '{STALLED}'
  local facts, data = {{state = 'failed', error = why}}, cjson.encode({{error = why}})
  tell(id, {{what = 'stalled'}})
  tell(id, {{what = 'failed', facts = facts, data = data, now = 'ended_at', keep = {KEPT_ENDED}}})
end
"""
