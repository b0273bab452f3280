"""Tasks: work that must happen, later, in a worker.

A plugin's ``tasks.py`` marks functions; everybody else enqueues them by name, in the transaction of what they follow
from, so that a process imports only the tasks that it runs:

    @task(retries=5)
    @public
    def send_welcome(user_id: UUID) -> None: ...

    enqueue("auth.send_welcome", user_id=user.id)
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from flask import Flask

from core.background.functions import annotation_fault, call_faults, refuse_second
from core.background.policy import Kind, Policy
from core.background.queue import calls
from core.background.queue.delivery import push
from core.background.queue.fullness import HOLDS
from core.background.queue.gates import Limit
from core.background.queue.kept import lost
from core.background.queue.keys import DEFAULT
from core.background.queue.routes import Route
from core.background.queue.running import perform
from core.data import outbox
from core.data.envelopes import Then
from core.data.unit import unit, unit_or_none
from core.errors import BootError
from core.trust.identity import current_principal
from core.trust.permissions import Marks, marks_of

__all__ = ["Task", "Tasks", "describe", "enqueue", "enqueue_in", "enqueue_many", "perform", "task", "task_faults"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Task:
    """A function that jobs call: ``arguments`` is the Struct that a payload must fit, ``marks`` who may ask for it."""

    name: str
    function: Callable[..., Any]
    arguments: type[msgspec.Struct]
    policy: Policy = dataclasses.field(default_factory=Policy)
    marks: Marks | None = None
    takes_struct: bool = False

    @functools.cached_property
    def route(self) -> Route:
        return Route.of(self.policy, dict(self._defaults()))

    def _defaults(self) -> Iterator[tuple[str, Any]]:
        for field in msgspec.structs.fields(self.arguments):
            if not field.required:
                value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
                with contextlib.suppress(TypeError, ValueError):  # what JSON does not have, two cannot have in common
                    yield field.encode_name, msgspec.to_builtins(value, str_keys=True)

    @property
    def in_steps(self) -> bool:
        return getattr(self.function, "__in_steps__", False)

    def call(self, arguments: msgspec.Struct) -> Any:
        if self.takes_struct:
            return self.function(arguments)
        return self.function(**{name: getattr(arguments, name) for name in self.arguments.__struct_fields__})


def task(
    *,
    retries: int = 3,
    retry_delay: float = 1.0,
    never: type[Exception] | Iterable[type[Exception]] = (),
    queue: str = DEFAULT,
    priority: int = 0,
    unique: bool | tuple[str, ...] = False,
    window: float | None = None,
    timeout: float = 900.0,
    backoff: Callable[[int], float] | None = None,
    limits: Limit | Iterable[Limit] = (),
    outage: type[Exception] | Iterable[type[Exception]] = (),
    kind: Kind = "greenlet",
    followed: bool = False,
) -> Callable[[F], F]:
    """Mark a function in ``tasks.py`` as the task ``<plugin>.<function>``; see ``Policy`` for the numbers.

    It waits in the queue of that name, behind those of a higher ``priority`` and those that came before it. Of a
    ``unique`` task no second job is put on the queue while one with the same arguments (or the same of those that are
    named) waits or runs; with ``window``, for so many seconds after the first was put there, whether it has run or not.
    An attempt is stopped after ``timeout`` seconds, and counts as failed. ``backoff`` answers how many seconds to wait
    after so many failed attempts, in place of ``retry_delay`` and its doubling.

    ``limits`` say how many of its jobs run at once, or start in so many seconds (``AtOnce``, ``Rate``). Exceptions of
    the classes in ``outage`` mean that an outside service is away: for a day such attempts do not count, and after five
    in a row the task's queue is closed for a while and then tried with one job (a circuit breaker). Give such a task a
    queue of its own.

    Jobs that compute for more than a moment hold up all others of their worker: with ``kind="process"`` they run in
    processes of their own, as many at once as their queue's size, and what runs over its time is killed. All tasks of
    a queue are of one kind; ``default`` is for greenlets.

    Of a ``followed`` task each job keeps a story, for whoever enqueued it: what ``current_job()`` tells, and what the
    function returns (JSON of at most 64 KiB).

    A ``Refused`` with a 4xx code is never tried again. An attempt that failed because PostgreSQL, Redis or MongoDB
    was away does not count. The job runs in one unit of work, unless the function is marked ``@in_steps``.
    """

    def mark(function: F) -> F:
        refuse_second(function, "__task__")
        stops = (timeout, backoff, _several(limits), _several(outage), kind)
        policy = Policy(
            retries, retry_delay, _several(never), queue, priority, unique, window, *stops, followed=followed
        )
        function.__task__ = policy  # type: ignore[attr-defined]
        return function

    return mark


def _several(value: Any) -> tuple[Any, ...]:
    """Of an argument that takes one or several; what is neither is told of with the other faults of the task."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


class Tasks:
    """The tasks that this process can run, by name."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    def add(self, plugin_name: str, module: ModuleType) -> None:
        """Take in a plugin's ``tasks.py``. Raises ``BootError`` with what is wrong with its tasks."""
        faults: list[str] = []
        for name, function in vars(module).items():
            if not hasattr(function, "__task__") or function.__module__ != module.__name__:
                continue
            place = f"plugin {plugin_name}: task {plugin_name}.{name}"
            faults += (f"{place} {fault}" for fault in [*call_faults(function), *function.__task__.faults()])
            try:
                found = describe(f"{plugin_name}.{name}", function, function.__task__)
            except TypeError as exc:
                faults.append(f"{place} {exc}")
                continue
            faults += (f"{place} {fault}" for fault in found.policy.strange(found.arguments.__struct_fields__))
            if found.marks is None or found.marks.access is None:
                faults.append(
                    f"{place} says nothing about who may ask for it; mark it @requires, @signed_in or @public"
                )
            faults += (f"{place} {fault}" for fault in self._clashes(found))
            self._tasks[found.name] = found
        if faults:
            raise BootError(*faults)

    def _clashes(self, task: Task) -> Iterator[str]:
        """A queue's jobs all run in the worker, or all in processes: how many there are at once depends on it."""
        for other in self._tasks.values():
            if other.policy.queue == task.policy.queue and other.policy.kind != task.policy.kind:
                yield f"is of the kind {task.policy.kind} on the queue {task.policy.queue}, where {other.name} is not"
                return

    def get(self, name: str) -> Task | None:
        return self._tasks.get(name)

    def names(self) -> list[str]:
        return sorted(self._tasks)

    def check_call(self, name: str, arguments: Iterable[str], *, complete: bool = True) -> list[str]:
        """What is wrong with enqueueing ``name`` with these argument names; see ``calls.signature_faults``."""
        known = self.get(name)
        if known is None:
            return [f"no task is called {name!r}; the tasks are {', '.join(self.names()) or 'none'}"]
        return calls.signature_faults(known, arguments, complete=complete)


def describe(name: str, function: Callable[..., Any], policy: Policy) -> Task:
    """The ``Task`` of a plain function; ``TypeError`` when JSON cannot carry what it asks for by name."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception as exc:
        raise TypeError(annotation_fault(exc)) from exc
    fields: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            shown = parameter.replace(annotation=parameter.empty)
            raise TypeError(f"takes {shown}; arguments travel by name, so give each one a name of its own")
        field = (parameter.name, hints.get(parameter.name, Any))
        _try_type(*field)
        # A default is wrapped, for it may be a list.
        fields.append(field if parameter.default is parameter.empty else (*field, _default(parameter.default)))
    arguments = msgspec.defstruct("Arguments", fields, forbid_unknown_fields=True, kw_only=True, frozen=True)
    return Task(name, function, arguments, policy, marks_of(function))


def _try_type(name: str, kind: Any) -> None:
    """``TypeError`` for an argument of a type that msgspec does not know, or cannot tell apart from another."""
    try:
        msgspec.json.Decoder(kind)
        msgspec.json.schema(kind)  # a class of one's own makes a decoder, which then refuses whatever it is given
    except TypeError as exc:
        told = str(exc).partition(" - type")[0]
        why = "" if told.startswith("Generating JSON schema") else f" ({told})"
        raise TypeError(
            f"takes {name}, and no JSON can be read as {kind!r}{why}; take an id, a plain type or a Struct"
        ) from exc


def _default(value: Any) -> Any:
    return msgspec.field(default_factory=lambda: value)


def enqueue(name: str, /, **arguments: Any) -> UUID:
    """Have a worker call the task ``name`` once the current unit has committed; answers the job's id.

    The arguments travel as JSON and are read back by the task's annotations, so ids, times, decimals and Structs are
    welcome; together they may take 64 KiB (``ValueError``). Outside a unit of work it opens one of its own.
    """
    return enqueue_in(0, name, **arguments)


def enqueue_in(delay_seconds: float, name: str, /, **arguments: Any) -> UUID:
    """``enqueue``, but not before ``delay_seconds`` have passed."""
    return write("task", name, arguments, delay_seconds)


def enqueue_many(name: str, arguments: Iterable[Mapping[str, Any]]) -> list[UUID]:
    """``enqueue`` once for each of ``arguments``, all of them or none; answers the jobs' ids in their order.

    A few hundred at a time: they are handed over together once the unit has committed.
    """
    if unit_or_none() is not None:
        return [write("task", name, each) for each in arguments]
    with unit():
        return [write("task", name, each) for each in arguments]


def write(kind: outbox.Kind, name: str, payload: Mapping[str, Any], delay: float = 0, then: Then | None = None) -> UUID:
    """Put a job into the outbox in the name of the current principal, in the current unit or one of its own."""
    if unit_or_none() is not None:
        return outbox.put(kind, name, payload, delay, principal=current_principal(), then=then)
    with unit():
        return outbox.put(kind, name, payload, delay, principal=current_principal(), then=then)


def task_faults(tree_root: Any, tasks: Tasks) -> list[str]:
    """Every ``enqueue("name", …)`` in the sources below ``tree_root`` that names no task or does not fit it."""
    return calls.faults_below(tree_root, tasks)


def init_app(app: Flask) -> None:
    from core.background import chain_tasks

    app.extensions["pegboard.tasks"] = tasks = Tasks()
    tasks.add("core", chain_tasks)
    outbox.set_deliverer(app, push, HOLDS, lost)
