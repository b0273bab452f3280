"""What follows when a job has run: the effects that go with giving its lease up."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from core.background.queue import chaining, lines, messages, stories, tallies, twins
from core.background.queue.dead import STALLED
from core.background.queue.delivery import due
from core.background.queue.frames import Frame
from core.background.queue.framing import framed
from core.background.queue.leased import Effect, Told
from core.background.queue.routes import route_of
from core.background.queue.running import Outcome
from core.background.queue.words import fit, legible
from core.data.faults import as_refusal
from core.data.outbox import Envelope
from core.telemetry import scrub

log = logging.getLogger(__name__)

TRIP_AFTER, CLOSED_FOR = 5, 10
"""Attempts in a row that an outage ended before the queue is closed; seconds for which it is, at first."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a job that has ended: by id, and without its arguments."""

    id: UUID
    task: str
    attempt: int
    ended_at: datetime
    ms: float
    error: str | None = None
    tenant_id: UUID | None = None


def effects_of(taken: Frame, outcome: Outcome, queue: str) -> list[Effect]:
    """Of a job of this queue. Done, failed for good, or to be tried again: the same envelope under a new nonce.

    Whatever is wrong with what follows, the job is neither lost nor run for ever.
    """
    if outcome.what == "lost":
        return [("back", "", taken.raw())]
    try:
        return [*_moved(taken, outcome), *_told(outcome), *chaining.effects(queue, outcome)]
    except Exception as exc:
        refusal = as_refusal(exc)
        if refusal is not None and refusal.code.status == 503:  # a store is away: another time
            log.warning("job goes back to the queue: %s", exc, extra={"job": str(outcome.envelope.id)})
            return [("back", "", taken.raw())]
        facts = {"task": outcome.envelope.name}
        log.exception("what follows a job cannot be made: it is kept with the dead", extra=facts)
        return unreadable(taken, f"it was {outcome.what}, and what follows from that could not be made")


def told_of(outcome: Outcome, effects: list[Effect]) -> Told | None:
    """Who is told once they have happened: the log, where they say that a job was done."""
    if outcome.what == "done" and any(effect[0] == "done" for effect in effects):
        return partial(lines.settled, outcome.envelope, outcome.seconds)
    return None


def given_up(taken: Frame, envelope: Envelope) -> list[Effect]:
    """Of a job whose workers died under it too often: it has failed, and whatever is wrong it does not run again."""
    outcome = Outcome(envelope, "failed", None, 0.0, STALLED)
    try:
        told, counted = msgspec.json.encode(_record(outcome)), tallies.untimed(envelope.name, taken.lane)
        return [*_failed(taken, outcome, told, counted), *_told(outcome)]
    except Exception:
        log.exception("what follows a job cannot be made: it is kept with the dead", extra={"task": envelope.name})
        return unreadable(taken, STALLED)


def _told(outcome: Outcome) -> list[Effect]:
    """How its story goes on. It is better lost than the job."""
    envelope = outcome.envelope
    try:
        if not route_of(envelope.name).followed:
            return []
        error = outcome.error and fit(outcome.error)
        if outcome.again is not None:
            text = stories.again(envelope, outcome.again.due_at, error)
        elif outcome.what == "done":
            text = stories.done(envelope, outcome.result)
        else:
            text = stories.failed(envelope, error or "its task, or its tenant, is not there any more")
    except Exception:
        log.exception("a job's story has a gap", extra={"job": str(envelope.id)})
        return []
    return [("tell", str(envelope.id), text)]


def _moved(taken: Frame, outcome: Outcome) -> list[Effect]:
    told, counted = msgspec.json.encode(_record(outcome)), _counted(taken, outcome)
    if outcome.again is not None:
        return [
            *_breaker(outcome),
            ("put", due(outcome.again), framed(outcome.again, route_of(outcome.envelope.name))),
            ("count", "retried" if outcome.what == "retry" else outcome.what, 1),
        ]
    if outcome.what == "failed":
        return [*_breaker(outcome), *_failed(taken, outcome, told, counted)]
    return [*_free(outcome), ("done", counted, told)]


def _breaker(outcome: Outcome) -> list[Effect]:
    """An outside service that is away closes the queue; a job that fails for another reason shows that it is back."""
    if outcome.what == "outage":
        return [("trip", TRIP_AFTER, CLOSED_FOR * 1000)]
    return [("answered", "", "")] if outcome.what in ("retry", "failed") and outcome.error else []


def _failed(taken: Frame, outcome: Outcome, told: bytes, counted: str) -> list[Effect]:
    return [*_free(outcome), ("dead", taken.key, told + b"\n" + taken.raw()), ("failed", counted, told)]


def _counted(taken: Frame, outcome: Outcome) -> str:
    """It waited from when it was enqueued or, where it was to come later, from when it was due."""
    envelope = outcome.envelope
    since = time.time() - envelope.due_at.timestamp() if envelope.due_at else messages.age(envelope)
    return tallies.told(envelope.name, taken.lane, since - outcome.seconds, outcome.seconds)


def _free(outcome: Outcome) -> list[Effect]:
    """Let a twin of the job come next, unless a window keeps it away."""
    route = route_of(outcome.envelope.name)
    key = twins.key_of(outcome.envelope, route)
    return [("free", key, str(outcome.envelope.id))] if key and route.window is None else []


def unreadable(taken: Frame, why: str) -> list[Effect]:
    """What is no message of ours is kept apart, for somebody to look at."""
    told: dict[str, Any] = {"error": why, "ended_at": datetime.now(UTC)}
    return [("dead", taken.key, msgspec.json.encode(told) + b"\n" + taken.raw()), ("count", "failed", 1)]


def _record(outcome: Outcome) -> Record:
    envelope = outcome.envelope
    return Record(
        envelope.id,
        envelope.name,
        envelope.attempt,
        datetime.now(UTC),
        round(outcome.seconds * 1000, 1),
        outcome.error and scrub(legible(outcome.error)),
        envelope.tenant_id,
    )
