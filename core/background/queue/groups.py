"""Counting the members of a group in Redis: whoever is the last puts what follows on the queue, in the same script.

A group is counted in one queue, under one key (a hash): results by member, ``many`` that were counted, ``bytes`` of
what they answered, and ``full`` once what follows has been put there. A member counts once, however often it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from core.background.queue.keys import Keys
from core.background.queue.leased import Effect
from core.background.queue.lua import BASE, LANES, STORIES
from core.background.queue.lua_groups import GROUPS, KEPT
from core.data import redis
from core.data.envelopes import MAX_PAYLOAD, Group

_GROUP = redis.script(
    BASE
    + LANES
    + STORIES
    + GROUPS
    + """
-- ARGV: effects, each an operation and two arguments. Answers whether the group is complete by them.
for at = 1, #ARGV, 3 do of_group(ARGV[at], ARGV[at + 1], ARGV[at + 2]) end
if filled then ring() end
return filled and 1 or 0
"""
)


class NoResults(Exception):
    """What a group's members answered cannot be given to what follows it; trying again would not help."""


def joined(group: Group, member: int, result: str, frame: bytes, follower: str, story: str, keep: bool) -> list[Effect]:
    """One more member is done; ``frame`` is what follows the group, ``follower`` its id and ``story`` how that begins.

    ``result`` is JSON, empty where nobody wants it; ``keep`` says whether anybody does.
    """
    told: list[Effect] = [("fill_tell", follower, story)] if story else []
    return [
        ("join", f"{group.id}:{member}", result if keep else ""),
        ("fill", f"{group.id}:{group.size}:{int(keep)}", frame),
        *told,
    ]


def forgotten(group: Group) -> list[Effect]:
    """Nobody will ask for its results any more."""
    return [("forget", str(group.id), "")]


def apply(group: Group, effects: Sequence[Effect]) -> bool:
    """Apply them in the group's queue at once; whether the group became complete by it."""
    return bool(_GROUP(keys=[Keys(group.queue).prefix], args=[part for effect in effects for part in effect]))


def results(group: Group) -> list[Any]:
    """What its members answered, in their order. ``NoResults`` where that is too much, or not there any more."""
    store: Any = redis.client()
    *found, size = store.hmget(Keys(group.queue).group(str(group.id)), [*map(str, range(group.size)), "bytes"])
    if size is None:
        raise NoResults(f"the results of its group are not there: they are kept for {KEPT // 86_400} days")
    if int(size) > MAX_PAYLOAD:
        raise NoResults(
            f"its group's results take {int(size)} bytes together, and may take {MAX_PAYLOAD};"
            " store them, and return their keys"
        )
    return [msgspec.json.decode(each) for each in found]
