"""Gates, as the scripts of a queue keep them (``gates.py``); they come after the lanes of ``lua.py``.

Who must wait does so in ``g:<key>:w``, in order. Of an ``AtOnce`` a seat that becomes free is given to the first, of a
``Rate`` as many are let through as may start by then; both stand first in their lane from then on, in which they are
served like any other. One that comes back has its seats still.
"""

from __future__ import annotations

GATES = """
local RATES, PASSES, PASSED, UNSERVED = P .. 'rates', P .. 'passes', P .. 'passed', P .. 'unserved'
local STOOD = P .. 'stood'

-- Whoever can write to Redis can forge a head: what reads as no gate of ours is none.
local function gates(head)
  local next = string.gmatch(head, ';(%a)([%d%.]+)=([%w_%-]+)')
  return function()
    while true do
      local kind, limit, key = next()
      local pattern = kind == 'c' and '^[1-9]%d*$' or kind == 'r' and '^[1-9]%d*%.[1-9]%d*$'
      if not kind or (pattern and #limit < 16 and string.match(limit, pattern)) then return kind, limit, key end
    end
  end
end

local function nonce_of(frame)
  return string.sub(frame, 1, 16)
end

-- What has stalled twice runs one at a time: it may be what ends its processes, and is not to take others with it.
local DOUBT, doubted = ';c1=doubt', nil
local function doubtful(frame)
  local head = head_of(frame)
  if doubted == nil then doubted = redis.call('HLEN', STALLS) > 0 end
  if doubted and tonumber(redis.call('HGET', STALLS, nonce_of(frame)) or 0) >= 2 then head = head .. DOUBT end
  return head
end

local function wait_at(key, frame, back)
  count(GATE_LENGTHS, frame, 1)
  if redis.call(back and 'LPUSH' or 'RPUSH', P .. 'g:' .. key .. ':w', frame) == 1 then
    redis.call('SADD', GATED, key)
  end
end

local function anybody_at(key)
  return redis.call('EXISTS', P .. 'g:' .. key .. ':w') == 1
end

local function next_at(key)
  local frame = redis.call('LPOP', P .. 'g:' .. key .. ':w')
  if frame then count(GATE_LENGTHS, frame, -1) end
  if not anybody_at(key) then
    redis.call('SREM', GATED, key)
    if redis.call('EXISTS', GATED) == 0 then redis.call('DEL', GATE_LENGTHS) end
  end
  return frame
end

-- Take a seat behind every gate that counts who is there, or none: then it answers the first that is full, and whether
-- that comes before the gate ``of``, at which a seat is free by the limit ``more``.
local function seat(frame, head, of, more)
  local nonce, before = nonce_of(frame), of ~= nil
  for kind, limit, key in gates(head) do
    if kind == 'c' then
      local there = P .. 'g:' .. key
      if key == of then before, limit = false, math.max(limit, more) end
      if redis.call('HLEN', there) >= tonumber(limit) and redis.call('HEXISTS', there, nonce) == 0 then
        return key, before
      end
    end
  end
  for kind, _, key in gates(head) do
    if kind == 'c' then redis.call('HSET', P .. 'g:' .. key, nonce, 1) end
  end
end

-- Give a seat that is free to the first who can take it. Who must wait at a gate that comes later goes there, once in
-- its life; who must wait at an earlier one stands there for all behind it, which it lets in when it leaves.
local function serve(key, limit)
  for _ = 1, 100 do
    local frame = next_at(key)
    if not frame then return end
    local full, earlier = seat(frame, doubtful(frame), key, limit)
    if not full then return first(frame, false) end
    wait_at(full, frame, full == key or earlier)
    if full == key or earlier then return end
  end
  redis.call('HSET', UNSERVED, key, limit)  -- a turn is not to take long: the next one goes on
end

local function serve_more()
  local found = redis.call('HRANDFIELD', UNSERVED, 4, 'WITHVALUES')
  for at = 1, #found, 2 do redis.call('HDEL', UNSERVED, found[at]) end
  for at = 1, #found, 2 do serve(found[at], tonumber(found[at + 1])) end
end

local function leave(nonce, head)
  for kind, limit, key in gates(head) do
    if kind == 'c' and redis.call('HDEL', P .. 'g:' .. key, nonce) == 1 then serve(key, tonumber(limit)) end
  end
end

local function give_back(frame)
  if string.find(head_of(frame), ';c', 1, true) then first(frame, true) else offer(frame, true) end
end

-- Whether one more may start in the window, beside those that were let through and have not begun.
local function may_start(limit, key)
  local many, window = string.match(limit, '(%d+)%.(%d+)')
  local left = many - (redis.call('HGET', PASSED, key) or 0)
  if left < 1 then return false end
  local start = redis.call('LINDEX', P .. 'r:' .. key, left - 1)
  return not start or start + window <= now
end

-- When somebody is let through next: now; when the window has room again; or when one that has a pass has begun.
local function look_at(limit, key)
  local many, window = string.match(limit, '(%d+)%.(%d+)')
  local start, again = redis.call('LINDEX', P .. 'r:' .. key, many - 1), now
  if not may_start(limit, key) then
    again = start and start + window > now and start + window or now + 1000
  end
  redis.call('ZADD', RATES, again, limit .. '=' .. key)
end

local function let_through(most)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', RATES, '-inf', now, 'LIMIT', 0, 16)) do
    local limit, key = string.match(member, '^(.-)=(.*)$')
    local moved = 0
    while moved < most and anybody_at(key) and may_start(limit, key) do
      local frame = next_at(key)
      redis.call('HSET', PASSES, nonce_of(frame), key)
      redis.call('HINCRBY', PASSED, key, 1)
      first(frame, false)
      moved = moved + 1
    end
    if anybody_at(key) then look_at(limit, key) else redis.call('ZREM', RATES, member) end
  end
end

local function look_at_rates(head)
  for kind, limit, key in gates(head) do
    if kind == 'r' and anybody_at(key) then look_at(limit, key) end
  end
end

local function use_pass(nonce)
  local key = redis.call('HGET', PASSES, nonce)
  if key then
    redis.call('HDEL', PASSES, nonce)
    if redis.call('HINCRBY', PASSED, key, -1) < 1 then redis.call('HDEL', PASSED, key) end
  end
  return key
end

-- Whether a frame may run now; if not, it waits where it will be found. One that a rate has let through, and that finds
-- a gate full, has lost its pass, and goes before the others should it have to wait for the rate again.
local function admit(frame, was_first)
  local head, nonce = doubtful(frame), nonce_of(frame)
  if not string.find(head, ';', 1, true) then return true end
  local pass = was_first and use_pass(nonce)
  for kind, limit, key in gates(head) do
    if kind == 'r' and key ~= pass and not (may_start(limit, key) and (was_first or not anybody_at(key))) then
      wait_at(key, frame, redis.call('HDEL', STOOD, nonce) == 1)
      look_at(limit, key)
      leave(nonce, head)
      return false
    end
  end
  local full = seat(frame, head)
  if full then
    if pass then redis.call('HSET', STOOD, nonce, 1) end
    wait_at(full, frame, was_first)
    leave(nonce, head)
    if pass then look_at_rates(head) end
    return false
  end
  if was_first then redis.call('HDEL', STOOD, nonce) end
  for kind, limit, key in gates(head) do
    if kind == 'r' then
      local many, window = string.match(limit, '(%d+)%.(%d+)')
      redis.call('LPUSH', P .. 'r:' .. key, now)
      redis.call('LTRIM', P .. 'r:' .. key, 0, many - 1)
      redis.call('PEXPIRE', P .. 'r:' .. key, window)
    end
  end
  look_at_rates(head)
  return true
end
"""
