"""Which queues there are, and whether anybody consumes them; asked by any client, outside of an app too."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from core.background.queue.contents import waiting_count
from core.background.queue.keys import Keys
from core.background.queue.routes import Route, routes_key
from core.background.queue.scripts import NAMES


class Consumed(NamedTuple):
    """``workers`` are the processes whose lease has not lapsed."""

    workers: int
    waiting: int


def named(client: Any) -> set[str]:
    """The queues that have had something in them, and those that tasks of some worker name."""
    routes = (msgspec.json.decode(text, type=Route) for text in client.hvals(routes_key()))
    return {name.decode() for name in client.smembers(NAMES)} | {route.queue for route in routes}


def of(client: Any, queue: str) -> Consumed:
    keys = Keys(queue)
    seconds, micro = client.time()
    alive = client.zcount(keys.procs, seconds * 1000 + micro // 1000, "+inf")
    return Consumed(alive, waiting_count(client, keys) + client.zcard(keys.sched))
