"""What the scripts of a queue do for groups (``groups.py``). They come after those of ``lua.py``."""

from __future__ import annotations

from core.data.envelopes import MAX_PAYLOAD

KEPT, KEPT_FULL = 7 * 86_400, 86_400
"""Seconds for which a group is kept after its last member was counted; and, once nobody needs its results, for which it
is known that it was complete."""

GROUPS = f"""
local counted, filled = false, false
local function shut(key)
  redis.call('DEL', key)
  redis.call('HSET', key, 'full', 1)
  redis.call('EXPIRE', key, {KEPT_FULL})
end

local function of_group(what, first, second)
  if what == 'join' then
    local group, member = string.match(first, '^(.*):(%d+)$')
    local key = P .. 'group:' .. group
    counted = redis.call('HEXISTS', key, 'full') == 0 and redis.call('HSETNX', key, member, '') == 1
    filled = false
    if not counted then return true end
    redis.call('HINCRBY', key, 'many', 1)
    -- What is too much together is not kept: who asks for it is told so.
    if second ~= '' and redis.call('HINCRBY', key, 'bytes', #second) <= {MAX_PAYLOAD} then
      redis.call('HSET', key, member, second)
    end
    redis.call('EXPIRE', key, {KEPT})
  elseif what == 'fill' then
    local group, size, keep = string.match(first, '^(.*):(%d+):(%d)$')
    local key = P .. 'group:' .. group
    if not counted or redis.call('HGET', key, 'many') ~= size then return true end
    if keep == '1' then redis.call('HSET', key, 'full', 1) else shut(key) end
    offer(second, false)
    filled = true
  elseif what == 'fill_tell' then
    if filled then tell(first, event(second)) end
  elseif what == 'forget' then
    shut(P .. 'group:' .. first)
  else
    return false
  end
  return true
end
"""
