"""Which tasks there are and what they take, for processes that do not import them: workers tell it in Redis."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from flask import Flask, current_app

from core.background.queue import calls, consumers
from core.background.schedules.declared import TICK
from core.background.tasks import Tasks
from core.data import redis
from core.data.models import utcnow

KNOWN_FOR = 86_400.0
"""Seconds after which a task that no worker has told of again is unknown: workers do so each hour."""


class Known(msgspec.Struct, frozen=True):
    """A task of some worker: its queue, each argument with whether it must be given, and when that was told."""

    queue: str
    takes: dict[str, bool]
    at: float | None = None
    """``None`` from workers of an earlier release, who tell it once."""

    @property
    def is_old(self) -> bool:
        return self.at is not None and time.time() - self.at > KNOWN_FOR


def forgotten() -> list[str]:
    """The tasks that no worker has told of for a day: no release has them any more."""
    return [name for name, task in _all_told().items() if task.is_old]


def tell(app: Flask, gone: Iterable[str] = ()) -> None:
    """What this worker's tasks take, and that those of the names in ``gone`` are known no more."""
    tasks: Tasks = app.extensions["pegboard.tasks"]
    now = time.time()
    # What was told once is kept for a day from now on.
    undated = {name: msgspec.structs.replace(task, at=now) for name, task in _all_told().items() if task.at is None}
    found: dict[Any, Any] = {name: msgspec.json.encode(task) for name, task in undated.items()}
    for task in (tasks.get(name) for name in tasks.names()):
        assert task is not None
        takes = {field.name: field.required for field in msgspec.structs.fields(task.arguments)}
        found[task.name] = msgspec.json.encode(Known(task.policy.queue, takes, now))
    with redis.client().pipeline(transaction=True) as pipe:
        if names := list(gone):
            pipe.hdel(tasks_key(), *names)
        if found:
            pipe.hset(tasks_key(), mapping=found)
        pipe.execute()


def _all_told() -> dict[str, Known]:
    found: Any = redis.client().hgetall(tasks_key())
    return {name.decode(): msgspec.json.decode(text, type=Known) for name, text in found.items()}


def tasks_key() -> str:
    return redis.board_key("core", "job_tasks")


def told(name: str, client: Any = None) -> Known | None:
    """What workers have told of a task within a day; with a client of the caller's it needs no app."""
    found: Any = (client or redis.client()).hget(tasks_key(), name)
    task = None if found is None else msgspec.json.decode(found, type=Known)
    return None if task is None or task.is_old else task


def unserved(client: Any, schedules: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Of names of schedules and of their tasks: the schedules whose jobs would wait for nobody, and why."""
    for name, task in schedules:
        known = told(task, client)
        if known is None:
            yield name, f"no worker has told of its task {task} within a day"
        elif not consumers.of(client, known.queue).workers:
            yield name, f"no worker consumes the queue {known.queue} of its task {task}"


def known(name: str) -> bool:
    """Whether this process or a worker has a task of this name."""
    tasks: Tasks = current_app.extensions["pegboard.tasks"]
    return tasks.get(name) is not None or told(name) is not None


def fault(name: str, arguments: Mapping[str, Any]) -> str | None:
    """Why a worker would not run a task with these arguments, as far as this process and the workers know it."""
    tasks: Tasks = current_app.extensions["pegboard.tasks"]
    if tasks.get(name) is not None:
        return local_fault(current_app, name, arguments)
    task = told(name)
    if task is None:
        return f"no worker knows the task {name!r}"
    if extra := sorted(arguments.keys() - task.takes.keys()):
        return f"task {name} takes no {', '.join(extra)}; it takes {', '.join(sorted(task.takes)) or 'nothing'}"
    missing = sorted(argument for argument, required in task.takes.items() if required and argument not in arguments)
    return f"task {name} also needs {', '.join(missing)}" if missing else None


def local_fault(app: Flask, name: str, arguments: Mapping[str, Any]) -> str | None:
    """The same where the process has the task: the arguments' types too."""
    tasks: Tasks = app.extensions["pegboard.tasks"]
    task = tasks.get(name)
    if task is None:
        return f"no task is called {name!r}; the tasks are {', '.join(tasks.names()) or 'none'}"
    if faults := calls.signature_faults(task, arguments):
        return "; ".join(faults)
    try:
        msgspec.convert(with_tick(arguments, utcnow().isoformat()), task.arguments)
    except msgspec.ValidationError as exc:
        return f"task {name} does not take these arguments: {exc}"
    return None


def with_tick(arguments: Mapping[str, Any], tick: str) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(arguments, str_keys=True)
    return {name: tick if value == TICK else value for name, value in plain.items()}
