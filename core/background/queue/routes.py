"""Which queue a job goes to. Workers know their tasks and tell the others; who does not know yet says ``default``.

A worker that takes a job off a queue which is not its task's own passes it on, so a wrong guess costs a round trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from core.background.queue.keys import DEFAULT
from core.data import redis
from core.data.redis import NoticedCache

if TYPE_CHECKING:
    from core.background.tasks import Tasks

Route = tuple[str, int]
PLAIN: Route = (DEFAULT, 0)

_told: NoticedCache[dict[str, Route]] = NoticedCache("core.job_routes", size=4)


def route_of(name: str) -> Route:
    """The queue and the priority of a task."""
    tasks: Tasks = current_app.extensions["pegboard.tasks"]
    task = tasks.get(name)
    if task is not None:
        return task.policy.queue, task.policy.priority
    return _told.get("all", _read).get(name, PLAIN)


def own_queues() -> set[str]:
    """The queues that the tasks of this process name, and ``default``."""
    tasks: Tasks = current_app.extensions["pegboard.tasks"]
    found = (tasks.get(name) for name in tasks.names())
    return {DEFAULT} | {task.policy.queue for task in found if task is not None}


def tell(app: Flask) -> None:
    """What this worker's tasks say, for processes that do not import them. A worker calls it as it starts."""
    tasks: Tasks = app.extensions["pegboard.tasks"]
    found = [task for name in tasks.names() if (task := tasks.get(name)) is not None]
    routes = {task.name: (task.policy.queue, task.policy.priority) for task in found}
    special: dict[Any, Any] = {name: f"{route[0]} {route[1]}" for name, route in routes.items() if route != PLAIN}
    with redis.client().pipeline(transaction=True) as pipe:
        if plain := [name for name in routes if name not in special]:
            pipe.hdel(_key(), *plain)
        if special:
            pipe.hset(_key(), mapping=special)
        pipe.execute()
    _told.changed("all")


def _read() -> dict[str, Route]:
    found: dict[bytes, bytes] = redis.client().hgetall(_key())  # type: ignore[assignment]
    pairs = ((name.decode(), text.decode().split()) for name, text in found.items())
    return {name: (queue, int(priority)) for name, (queue, priority) in pairs}


def _key() -> str:
    return redis.board_key("core", "job_routes")
