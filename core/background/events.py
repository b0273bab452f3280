"""Events and listeners: facts that one plugin announces and others may react to; nobody is obliged.

    @on(BookAdded)
    def count_it(event: BookAdded) -> None: ...

A plain listener runs right after the commit, in the process that emitted, in a unit of its own; one that fails is
logged and stops neither the others nor the emitter. ``@on(BookAdded, durable=True)`` is for work that must not be
lost: its job is written in the emitter's transaction, and a worker runs and retries it like a task.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import msgspec
from flask import Flask, current_app

from core import telemetry
from core.background.functions import call_faults, first_hint, refuse_second, signature_faults
from core.background.policy import Policy
from core.background.tasks import Task, write
from core.data.unit import unit, unit_or_none
from core.errors import BootError

E = TypeVar("E", bound=msgspec.Struct)
F = TypeVar("F", bound=Callable[[Any], None])

log = logging.getLogger(__name__)

MAX_DEPTH = 8
"""How many events deep a listener's own emitting may go: a circle of listeners ends here, with an error in the log."""

_depth: ContextVar[int] = ContextVar("event_depth", default=0)


@dataclasses.dataclass(frozen=True)
class Mark:
    event: type[msgspec.Struct]
    durable: bool


class Caused(msgspec.Struct, frozen=True):
    """What a durable listener's job carries: the event, and how many events led to it."""

    event: dict[str, Any]
    depth: int = 1


def on(event: type[msgspec.Struct], *, durable: bool = False) -> Callable[[F], F]:
    """Mark a function in ``listeners.py`` as called with each ``event`` (a frozen msgspec Struct)."""
    if isinstance(event, FunctionType):
        raise BootError(f"{event.__module__}:{event.__qualname__}: @on names no event; write @on(TheEvent)")
    if not (isinstance(event, type) and issubclass(event, msgspec.Struct) and event.__struct_config__.frozen):
        raise BootError(
            f"{event!r} is no event: declare it as class {getattr(event, '__name__', 'X')}(Struct, frozen=True)"
        )

    def mark(function: F) -> F:
        refuse_second(function, "__listens__")
        if hasattr(function, "__listens__"):
            raise BootError(
                f"{function.__module__}:{function.__qualname__} listens twice; write a function for each event"
            )
        function.__listens__ = Mark(event, durable)  # type: ignore[attr-defined]
        return function

    return mark


@dataclasses.dataclass(frozen=True)
class Listener:
    plugin: str
    name: str
    function: Callable[[Any], None]
    durable: bool


class Listeners:
    """Who listens to what in this process, in the order of the plugins."""

    def __init__(self) -> None:
        self._by_event: defaultdict[type[msgspec.Struct], list[Listener]] = defaultdict(list)
        self._jobs: dict[str, Task] = {}

    def add(self, plugin_name: str, module: ModuleType) -> None:
        """Take in a plugin's ``listeners.py``. Raises ``BootError`` with what is wrong with its listeners."""
        faults: list[str] = []
        for name, function in vars(module).items():
            mark: Mark | None = getattr(function, "__listens__", None)
            if mark is None or function.__module__ != module.__name__:
                continue
            found = _faults(function, mark.event)
            faults += (f"plugin {plugin_name}: {module.__name__}:{name} {fault}" for fault in found)
            listener = Listener(plugin_name, f"{plugin_name}.{name}", function, mark.durable)
            self._by_event[mark.event].append(listener)
            if mark.durable:
                self._jobs[listener.name] = _job(listener, mark.event)
        if faults:
            raise BootError(*faults)

    def of(self, event: type[msgspec.Struct]) -> list[Listener]:
        return self._by_event.get(event, [])

    def get(self, name: str) -> Task | None:
        """The durable listener of this name, as what its jobs call."""
        return self._jobs.get(name)


def _faults(function: Callable[..., Any], event: type[msgspec.Struct]) -> list[str]:
    faults = call_faults(function) or signature_faults(function, (event,), "the event")
    hint = first_hint(function)
    if not faults and isinstance(hint, type) and not issubclass(event, hint):
        told = f"listens to {event.__name__}, and its parameter is annotated {hint.__name__}"
        faults.append(f"{told}; correct the annotation, or @on(…)")
    return faults


def _job(listener: Listener, event: type[msgspec.Struct]) -> Task:
    def call(caused: Caused) -> None:
        told = msgspec.convert(caused.event, event)
        token = _depth.set(caused.depth)
        try:
            listener.function(told)
        finally:
            _depth.reset(token)

    if getattr(listener.function, "__in_steps__", False):
        call.__in_steps__ = True  # type: ignore[attr-defined]
    return Task(listener.name, call, Caused, Policy(never=(msgspec.ValidationError,)), takes_struct=True)


def emit(event: msgspec.Struct) -> None:
    """Announce a fact. In a unit its listeners hear of it after the commit, and never if it rolls back.

    Outside a unit they hear of it at once. A listener's failure never reaches the emitter.
    """
    listeners: Listeners = current_app.extensions["pegboard.listeners"]
    audience = listeners.of(type(event))
    if not audience:
        return
    depth = _depth.get() + 1
    if depth > MAX_DEPTH:
        log.error("event dropped: its listeners go in a circle", extra={"event": type(event).__qualname__})
        return
    if unit_or_none() is None:
        with unit():
            _announce(event, audience, depth)
    else:
        _announce(event, audience, depth)


def _announce(event: msgspec.Struct, audience: list[Listener], depth: int) -> None:
    work = unit_or_none()
    assert work is not None
    for listener in audience:
        if listener.durable:
            write("listener", listener.name, {"event": event, "depth": depth})
        else:
            work.after_commit(lambda listener=listener: _tell(listener, event, depth))  # type: ignore[misc]


def _tell(listener: Listener, event: msgspec.Struct, depth: int) -> None:
    token, outcome = _depth.set(depth), "done"
    try:
        if getattr(listener.function, "__in_steps__", False):
            listener.function(event)
        else:
            with unit():
                listener.function(event)
    except Exception:
        outcome = "failed"
        log.exception(
            "a listener failed, and nobody else noticed: correct it; mark it durable=True if its work must be done",
            extra={"plugin": listener.plugin, "listener": listener.name, "event": type(event).__qualname__},
        )
    finally:
        _depth.reset(token)
        telemetry.count("events_total", event=type(event).__qualname__, outcome=outcome)


def init_app(app: Flask) -> None:
    app.extensions["pegboard.listeners"] = Listeners()
