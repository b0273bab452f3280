"""Running one job: whose it is, in which unit, and what becomes of it when it fails."""

from __future__ import annotations

import logging
import random
import time
from contextlib import nullcontext
from contextvars import Context
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from flask import Flask, current_app

from core import telemetry
from core.background.job import BadResult, LeaseLost, answered, begun, run_as
from core.background.queue import chaining, lines
from core.background.queue.groups import NoResults
from core.background.queue.stories import Held
from core.background.queue.timeouts import in_loop, limit
from core.background.queue.words import said
from core.contracts import TenantDirectory, service
from core.data.faults import as_refusal
from core.data.models import utcnow
from core.data.outbox import Envelope
from core.data.tenancy import acting_in
from core.data.unit import unit
from core.errors import (
    DATABASE_UNAVAILABLE,
    DOCUMENTS_UNAVAILABLE,
    MIGRATIONS_PENDING,
    REDIS_UNAVAILABLE,
    Refused,
)
from core.trust.identity import acting_as
from core.trust.permissions import enforce

if TYPE_CHECKING:
    from core.background.policy import Policy
    from core.background.tasks import Task

log = logging.getLogger(__name__)

REGISTRIES = {"task": "pegboard.tasks", "step": "pegboard.tasks", "listener": "pegboard.listeners"}
LONGEST_DELAY = 3600.0
LONGEST_ERROR = 500
OUTAGE_DELAY = 5.0
OUTAGE_PATIENCE = timedelta(days=1)
"""How long a job waits for a store that is away before such attempts count like any other."""
AWAY = (DATABASE_UNAVAILABLE, REDIS_UNAVAILABLE, DOCUMENTS_UNAVAILABLE, MIGRATIONS_PENDING)
UNKNOWN_TIMES = 8
"""A worker of the old release may meet a task of the new one: over some ten minutes it leaves the job to others."""


class BadArguments(Exception):
    """The payload does not fit the task's annotations; trying again would not help."""


class WorkerEnds(KeyboardInterrupt):
    """Thrown into the hands of a worker that ends and waits for them no more. Huey ends a hand by it quietly."""


class NotBegun(Exception):
    """No process could be had for the job: it waits, and that does not count."""


class Outcome(NamedTuple):
    """What became of one attempt: ``done``, ``dropped``, ``retry``, ``waiting``, ``outage``, ``failed`` or ``lost``.

    ``again`` is the envelope to queue again, with its ``due_at``; without it the job is settled. ``result`` is JSON, of
    a job that is followed, or whose result what follows takes.
    """

    envelope: Envelope
    what: str
    again: Envelope | None
    seconds: float
    error: str | None = None
    result: str = ""


def perform(envelope: Envelope, app: Flask | None = None) -> Envelope | None:
    """``attempt``, of which only the envelope to queue again is told."""
    return attempt(envelope, app).again


def attempt(envelope: Envelope, app: Flask | None = None, held: Held | None = None) -> Outcome:
    """Run a job in contexts of its own, nothing inherited: app, tenant, principal, request id, marks, unit, call.

    What failed for good is logged as an error. Nothing that a task raises leaves here, be it ``SystemExit``: only
    ``WorkerEnds`` does. Without ``held``, the lease under which it runs, nothing is told of a followed job meanwhile.
    """
    return Context().run(_perform, envelope, app or current_app._get_current_object(), held)  # type: ignore[attr-defined]


def ended_outside(envelope: Envelope, exc: BaseException, seconds: float, app: Flask) -> Outcome:
    """What becomes of a job that another process ran for so many seconds and can tell nothing of any more."""
    return Context().run(_ended_outside, envelope, exc, seconds, app)


def _ended_outside(envelope: Envelope, exc: BaseException, seconds: float, app: Flask) -> Outcome:
    with app.app_context(), lines.context(envelope):
        what, again = _after_failure(envelope, exc)
    return _told(envelope, what, again, seconds, said(exc, LONGEST_ERROR))


def _perform(envelope: Envelope, app: Flask, held: Held | None) -> Outcome:
    began = time.monotonic()
    error = None
    with app.app_context(), lines.context(envelope):
        job = run_as(envelope, held)
        try:
            what, again = _attempt(envelope)
        except LeaseLost:
            log.error("job stopped: it is somebody else's by now", extra=lines.facts(envelope))
            what, again = "lost", None
        except BaseException as exc:  # whatever a task raises, the worker goes on
            if is_the_end(exc):
                raise
            error = said(exc, LONGEST_ERROR)
            what, again = _after_failure(envelope, exc)
        finally:
            job.end()
    return _told(envelope, what, again, time.monotonic() - began, error, job.result if what == "done" else "")


def is_the_end(exc: BaseException) -> bool:
    """Whether it is no task's, but the worker's that ends; or Ctrl-C, where a test or a tool runs jobs itself."""
    return isinstance(exc, WorkerEnds) or (isinstance(exc, KeyboardInterrupt) and not in_loop())


def _told(
    envelope: Envelope, what: str, again: Envelope | None, seconds: float, error: str | None, result: str = ""
) -> Outcome:
    telemetry.count("jobs_total", task=envelope.name, outcome=what)
    telemetry.observe("job_seconds", seconds, task=envelope.name)
    return Outcome(envelope, what, again, seconds, error, result)


def _attempt(envelope: Envelope) -> tuple[str, Envelope | None]:
    task = task_of(envelope)
    if task is None:
        return _unknown(envelope)
    tenant = None if envelope.tenant_id is None else service(TenantDirectory).by_id(envelope.tenant_id)
    if tenant is None and envelope.tenant_id is not None:
        log.warning("job dropped: its tenant is gone", extra=lines.facts(envelope))
        return "dropped", None
    acting = acting_in(tenant) if tenant else nullcontext()
    with acting, acting_as(envelope.principal), limit(envelope.id, task.policy.timeout):
        begun(task.policy)
        _call(task, envelope)
    return "done", None


def task_of(envelope: Envelope) -> Task | None:
    """The task, or listener, that it is for, where this process knows it. Needs the app's context."""
    found: Task | None = current_app.extensions[REGISTRIES[envelope.kind]].get(envelope.name)
    return found


def _unknown(envelope: Envelope) -> tuple[str, Envelope | None]:
    if envelope.unknown < UNKNOWN_TIMES:
        log.warning("job waits: no such task in this worker", extra=lines.facts(envelope))
        unknown = envelope.unknown + 1
        return "retry", _later(envelope, 2.0 * 2**unknown, unknown=unknown)
    log.error("job failed: no worker knows its task; is its plugin switched off?", extra=lines.facts(envelope))
    return "failed", None


def _call(task: Task, envelope: Envelope) -> None:
    try:
        arguments = msgspec.convert(chaining.payload(envelope), task.arguments)
    except msgspec.ValidationError as exc:
        raise BadArguments(str(exc)) from None
    if task.in_steps:
        with unit():
            _may(task, envelope, arguments)
        answered(task.call(arguments))
    else:
        with unit():
            _may(task, envelope, arguments)
            answered(task.call(arguments))


def _may(task: Task, envelope: Envelope, arguments: msgspec.Struct) -> None:
    if task.marks is not None:
        about = task.marks.id_parameter
        enforce(envelope.principal, task.marks, getattr(arguments, about) if about else None)


# -- after a failure --------------------------------------------------------------------------------------------


def _after_failure(envelope: Envelope, exc: BaseException) -> tuple[str, Envelope | None]:
    facts = {**lines.facts(envelope), "reason": said(exc, LONGEST_ERROR)}
    refusal = exc if isinstance(exc, Refused) else as_refusal(exc)
    now = time.time()
    since = envelope.waits or now
    patient = now - since < OUTAGE_PATIENCE.total_seconds()
    if patient and refusal is not None and refusal.code in AWAY:
        log.warning("job waits: a store is away", extra=facts)
        return "waiting", _later(envelope, OUTAGE_DELAY, waits=since)
    if patient and isinstance(exc, NotBegun):
        log.warning("job waits: no process can be had for it", extra=facts)
        return "waiting", _later(envelope, OUTAGE_DELAY, waits=since)
    task = task_of(envelope)
    assert task is not None
    if patient and isinstance(exc, task.policy.outage):
        log.warning("job waits: an outside service is away", extra=facts)
        return "outage", _later(envelope, OUTAGE_DELAY, waits=since)
    if _final(task.policy, envelope.attempt, exc, refusal):
        log.error("job failed", extra=facts, exc_info=exc)
        return "failed", None
    log.warning("job failed and will be tried again", extra=facts, exc_info=exc)
    return "retry", _again(envelope, _delay(task, envelope.attempt))


def _delay(task: Task, attempt: int) -> float:
    try:
        return task.policy.delay(attempt)
    except Exception:  # the author's function: the job is not lost for it
        log.exception("a task's backoff failed", extra={"task": task.name})
        return float(task.policy.retry_delay)


def _final(policy: Policy, attempt: int, exc: BaseException, refusal: Refused | None) -> bool:
    if isinstance(exc, (BadArguments, BadResult, NoResults, *policy.never)) or attempt > policy.retries:
        return True
    return refusal is not None and 400 <= refusal.code.status < 500


def _again(envelope: Envelope, delay: float) -> Envelope:
    return _later(envelope, min(delay, LONGEST_DELAY), attempt=envelope.attempt + 1)


def _later(envelope: Envelope, delay: float, **more: Any) -> Envelope:
    """Up to half as much again is added, so that jobs that failed together do not all come back together."""
    due = utcnow() + timedelta(seconds=delay * random.uniform(1.0, 1.5))
    return msgspec.structs.replace(envelope, due_at=due, **{"waits": 0.0, "unknown": 0, **more})
