"""Gates, as the scripts of a queue keep them (``gates.py``); they come after the lanes of ``lua.py``."""

from __future__ import annotations

GATES = """
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

-- What has stalled twice runs one at a time: it may be what ends its processes, and is not to take others with it.
local DOUBT, doubted = ';c1=doubt', nil
local function passes(frame)
  local head = head_of(frame)
  if doubted == nil then doubted = redis.call('HLEN', STALLS) > 0 end
  if doubted and tonumber(redis.call('HGET', STALLS, string.sub(frame, 1, 16)) or 0) >= 2 then head = head .. DOUBT end
  return head
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
  count(GATE_LENGTHS, frame, 1)
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
          if redis.call('EXISTS', GATED) == 0 then redis.call('DEL', GATE_LENGTHS) end
          break
        end
        count(GATE_LENGTHS, frame, -1)
        local full = seat(frame, passes(frame))
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
  local head = passes(frame)
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
      schedule(again, frame)
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
