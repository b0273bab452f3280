"""Which queue a job goes to. Workers know their tasks and tell the others; who does not know yet says ``default``.

A worker that takes a job off a queue which is not its task's own passes it on, so a wrong guess costs a round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from flask import Flask, current_app

from core.background.queue.gates import Limit
from core.background.queue.keys import DEFAULT
from core.data import redis
from core.data.redis import NoticedCache

if TYPE_CHECKING:
    from core.background.policy import Policy
    from core.background.tasks import Tasks


class Route(NamedTuple):
    """Where jobs of a task go: ``by`` are the arguments by which two are twins, () for all, ``None`` for never.
    ``defaults`` are those of arguments that twins or limits depend on."""

    queue: str = DEFAULT
    priority: int = 0
    by: tuple[str, ...] | None = None
    window: float | None = None
    limits: tuple[Limit, ...] = ()
    followed: bool = False
    defaults: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def of(cls, policy: Policy, defaults: Mapping[str, Any]) -> Route:
        """``defaults`` are those of all arguments that have one."""
        names = {name for limit in policy.limits for name in limit.by}
        if policy.by is not None:
            names |= set(policy.by or defaults)
        known = {name: value for name, value in defaults.items() if name in names}
        return cls(policy.queue, policy.priority, policy.by, policy.window, policy.limits, policy.followed, known)


PLAIN = Route()

_told: NoticedCache[dict[str, Route]] = NoticedCache("core.job_routes", size=4)


def route_of(name: str) -> Route:
    """Where a task's jobs go, as far as this process knows."""
    tasks: Tasks = current_app.extensions["pegboard.tasks"]
    task = tasks.get(name)
    if task is not None:
        return task.route
    return _told.get("all", _read).get(name, PLAIN)


def names_on(queue: str) -> tuple[frozenset[str], bool]:
    """The tasks whose jobs go to it; or those whose jobs do not, and ``True``, where all others' do."""
    tasks: Tasks = current_app.extensions["pegboard.tasks"]
    known = {**_told.get("all", _read), **{name: route_of(name) for name in tasks.names()}}
    others = queue == PLAIN.queue
    return frozenset(name for name, route in known.items() if (route.queue == queue) is not others), others


def own_queues() -> set[str]:
    """The queues that the tasks of this process name, and ``default``."""
    tasks: Tasks = current_app.extensions["pegboard.tasks"]
    found = (tasks.get(name) for name in tasks.names())
    return {DEFAULT} | {task.policy.queue for task in found if task is not None}


def tell(app: Flask, gone: Iterable[str] = ()) -> None:
    """What this worker's tasks say, for processes that do not import them; those in ``gone`` nobody has any more.

    A worker calls it as it starts, and each hour.
    """
    tasks: Tasks = app.extensions["pegboard.tasks"]
    found = [task for name in tasks.names() if (task := tasks.get(name)) is not None]
    routes = {task.name: task.route for task in found}
    special: dict[Any, Any] = {name: msgspec.json.encode(route) for name, route in routes.items() if route != PLAIN}
    with redis.client().pipeline(transaction=True) as pipe:
        if plain := [name for name in [*routes, *gone] if name not in special]:
            pipe.hdel(routes_key(), *plain)
        if special:
            pipe.hset(routes_key(), mapping=special)
        pipe.execute()
    _told.changed("all")


def _read() -> dict[str, Route]:
    found: dict[bytes, bytes] = redis.client().hgetall(routes_key())  # type: ignore[assignment]
    return {name.decode(): msgspec.json.decode(text, type=Route) for name, text in found.items()}


def routes_key() -> str:
    return redis.board_key("core", "job_routes")
