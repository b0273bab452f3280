"""Duties: periodic work, each in one place at a time.

    @duty(every=60, kinds=("scheduler",))
    def forget_old_links() -> None: ...

By default a duty runs in a unit of work whose transaction holds an advisory lock: of all processes that have the
duty one runs it, and a process that dies lets go of the lock with its connection. Work in steps, or long work, takes
a lease in Redis instead (``lock="redis"``), renewed while it runs. ``alone=False`` runs in every process.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args

import msgspec
import sqlalchemy as sa
from flask import Flask

from core import telemetry
from core.background.functions import call_faults, refuse_second, signature_faults
from core.background.lease import Lease, lease
from core.background.queue.words import said
from core.contracts import SYSTEM
from core.data import confirming, redis, sweeping
from core.data.faults import as_refusal
from core.data.models import db
from core.data.unit import in_steps, unit
from core.errors import BootError
from core.trust import audit
from core.trust.identity import acting_as

F = TypeVar("F", bound=Callable[[], Any])
Lock = Literal["transaction", "redis"]
LOCKS = get_args(Lock)

log = logging.getLogger(__name__)

KINDS = ("web", "worker", "scheduler")
YEAR = 366 * 86400
FINISH = 10.0
"""Seconds that a run under way is given when the process is told to end."""
FIRST_WITHIN = 5.0
"""A process that starts runs each duty once within so many seconds: not all of them, in all processes, at once."""

_lease: ContextVar[Lease | None] = ContextVar("duty_lease", default=None)


@dataclasses.dataclass(frozen=True)
class Duty:
    """``run`` is called every ``every`` seconds in processes of these kinds; ``alone``, in one of them at a time."""

    name: str
    every: float
    kinds: tuple[str, ...]
    run: Callable[[], Any]
    alone: bool = True
    lock: Lock = "transaction"

    @property
    def in_steps(self) -> bool:
        return getattr(self.run, "__in_steps__", False)

    def faults(self) -> list[str]:
        """What is wrong with it, in words that follow its name."""
        faults = call_faults(self.run) or signature_faults(self.run, (), "nothing")
        if isinstance(self.every, bool) or not isinstance(self.every, int | float) or not 0 < self.every <= YEAR:
            faults.append(f"has every={self.every!r}; say a number of seconds, above 0 and at most a year: every=60")
        if not isinstance(self.kinds, tuple) or not self.kinds or not all(isinstance(one, str) for one in self.kinds):
            faults.append(f"has kinds={self.kinds!r}; write a tuple, such as kinds=('scheduler',), of {KINDS}")
        elif unknown := set(self.kinds) - set(KINDS):
            faults.append(f"runs nowhere: no kind of process is called {', '.join(sorted(unknown))}; use {KINDS}")
        if self.lock not in LOCKS:
            faults.append(f"has lock={self.lock!r}; say {' or '.join(map(repr, LOCKS))}")
        if self.in_steps and self.alone and self.lock == "transaction":
            faults.append(
                "works @in_steps, so no transaction can hold its lock;"
                ' say lock="redis", or alone=False where it may run twice at once'
            )
        return faults


def duty(
    *, every: float, kinds: Iterable[str] = ("scheduler",), alone: bool = True, lock: Lock = "transaction"
) -> Callable[[F], F]:
    """Mark a function without parameters in ``duties.py`` as periodic work; see ``Duty``."""

    def mark(function: F) -> F:
        refuse_second(function, "__duty__")
        several = tuple(kinds) if isinstance(kinds, Iterable) and not isinstance(kinds, str) else kinds
        function.__duty__ = {"every": every, "kinds": several, "alone": alone, "lock": lock}  # type: ignore[attr-defined]
        return function

    return mark


def add(app: Flask, declared: Duty) -> None:
    """Give this board a duty. Raises ``BootError`` with what is wrong with it."""
    if faults := declared.faults():
        raise BootError(*(f"duty {declared.name} {fault}" for fault in faults))
    app.extensions["pegboard.duties"][declared.name] = declared


def add_module(app: Flask, plugin_name: str, module: ModuleType) -> None:
    """Take in a plugin's ``duties.py``. Raises ``BootError`` with what is wrong with its duties."""
    faults: list[str] = []
    for name, function in vars(module).items():
        if not hasattr(function, "__duty__") or function.__module__ != module.__name__:
            continue
        declared = Duty(name=f"{plugin_name}.{name}", run=function, **function.__duty__)
        found = declared.faults()
        if not found and "worker" in declared.kinds:
            found = ["names the kind worker, where no plugin's duties are; say web or scheduler, and enqueue a task"]
        faults += (f"plugin {plugin_name}: {module.__name__}:{name} {fault}" for fault in found)
        app.extensions["pegboard.duties"][declared.name] = declared
    if faults:
        raise BootError(*faults)


def still_alone() -> bool:
    """In a ``lock="redis"`` duty: whether the lease is still held. Ask between steps, and stop when it is not."""
    held = _lease.get()
    return held is None or held.held()


def last_runs() -> dict[str, dict[str, Any]]:
    """By duty name: ``started``, ``ended``, ``next`` (RFC 3339) and ``error``; empty while Redis is away."""
    try:
        kept: Any = redis.client().hgetall(redis.board_key("core", "duties"))
    except Exception:  # whoever asks can live without
        return {}
    return {name.decode(): msgspec.json.decode(text) for name, text in kept.items()}


def init_app(app: Flask) -> None:
    app.extensions["pegboard.duties"] = {}
    # The lower rooms' own; both take care themselves that two may run at once.
    add(app, Duty("core.outbox_sweep", 5.0, ("scheduler", "worker"), _sweep_all, alone=False))
    add(app, Duty("core.audit_sealer", 2.0, ("scheduler",), _seal_all, alone=False))


@in_steps
def _sweep_all() -> None:
    while confirming.confirm(limit=500) == 500:
        pass
    while sweeping.sweep(limit=500) == 500:
        pass


@in_steps
def _seal_all() -> None:
    while audit.seal(limit=1000) == 1000:
        pass


# -- running ------------------------------------------------------------------------------------------------------


class Runner:
    """The duties of this process, each in a thread of its own (a greenlet where gevent has patched)."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.leaving = threading.Event()
        self.deadline = 0.0
        duties: dict[str, Duty] = app.extensions["pegboard.duties"]
        self.threads = [
            threading.Thread(target=self._serve, args=(duty,), name=f"duty-{duty.name}", daemon=True)
            for duty in duties.values()
            if app.extensions["pegboard.kind"] in duty.kinds
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def leave(self) -> None:
        if not self.leaving.is_set():
            self.deadline = time.monotonic() + FINISH
            self.leaving.set()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(max(0.0, self.deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("a duty did not end in time", extra={"duty": thread.name.removeprefix("duty-")})

    def _serve(self, duty: Duty) -> None:
        wait = random.uniform(0, min(duty.every, FIRST_WITHIN))
        while not self.leaving.is_set():
            try:
                if self.leaving.wait(wait):
                    return
                began, wait = time.monotonic(), duty.every
                run_once(self.app, duty)
                # At its own pace; one that takes longer than its period rests a little all the same.
                wait = max(began + duty.every - time.monotonic(), duty.every / 10) * random.uniform(0.95, 1.05)
            except BaseException:  # a timer that a run set and left behind: nobody would miss the duty
                log.exception("something that a duty left behind struck it between its runs", extra={"duty": duty.name})


def run_once(app: Flask, duty: Duty) -> bool:
    """Run a duty now, as the system, in contexts of its own; False when another process is at it.

    Whatever it raises is logged, recorded and swallowed: only Ctrl-C leaves here, where a test or a tool calls this.
    """
    return Context().run(_run_once, app, duty)


def _run_once(app: Flask, duty: Duty) -> bool:
    began, clock, error, ran = datetime.now(UTC), time.monotonic(), None, True
    with app.app_context(), telemetry.log_context(plugin=duty.name.partition(".")[0]), acting_as(SYSTEM):
        try:
            ran = _run(duty)
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            error = said(exc)
            if as_refusal(exc) is not None:
                log.warning("a duty could not run, a store is away or busy: %s", error, extra={"duty": duty.name})
            else:
                log.exception("a duty failed", extra={"duty": duty.name})
        if ran:
            telemetry.count("duties_total", duty=duty.name, outcome="failed" if error else "done")
            telemetry.observe("duty_seconds", time.monotonic() - clock, duty=duty.name)
            _record(duty, began, error)
    return ran


def _run(duty: Duty) -> bool:
    if not duty.alone or duty.lock == "transaction":
        return _call(duty, locked=duty.alone)
    with lease(redis.board_key("core", "duty", duty.name)) as held:
        if held is None:
            return False
        _lease.set(held)  # in this run's own context
        return _call(duty, locked=False)


def _call(duty: Duty, *, locked: bool) -> bool:
    if duty.in_steps:
        duty.run()
        return True
    with unit():
        if locked and not db.session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_lock_number(duty.name)))):
            return False
        duty.run()
    return True


def _lock_number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"pegboard duty {name}".encode(), digest_size=8).digest(), signed=True)


def _record(duty: Duty, began: datetime, error: str | None) -> None:
    now = datetime.now(UTC)
    facts = {"started": began, "ended": now, "next": max(now, began + timedelta(seconds=duty.every)), "error": error}
    try:
        redis.client().hset(redis.board_key("core", "duties"), duty.name, msgspec.json.encode(facts))
    except Exception as exc:  # the run itself is what matters
        log.debug("a duty's run could not be recorded: %s", exc)


_runners: list[Runner] = []
"""Of this process."""


def start(app: Flask) -> None:
    """Start the duties of this kind of process. After the fork, once."""
    runner = Runner(app)
    _runners.append(runner)
    runner.start()


def leave() -> None:
    """Begin no further run."""
    for runner in _runners:
        runner.leave()


def leaving() -> bool:
    """Whether this process is about to end: what waits for something else should not."""
    return any(runner.leaving.is_set() for runner in _runners)


def stop() -> None:
    """``leave``, and give runs under way until 10 s after that to finish."""
    leave()
    while _runners:
        _runners[0].join()
        _runners.pop(0)  # not before: until then the process is leaving
