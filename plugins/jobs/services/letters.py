"""Dead letters: jobs that nobody tries any more."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from core.background.queue import dead
from core.background.queue.dead import DeadLetter
from core.background.queue.keys import NAME
from core.errors import CONFLICT, NOT_FOUND, Refused
from core.telemetry import clean
from core.trust import audit
from core.web import Page
from core.web.pages import open_place, seal_place
from plugins.jobs.schemas import LetterOut, LettersQuery, Replayed, ReplayMany
from plugins.jobs.services.queues import check_known
from plugins.jobs.services.sight import whose

MOST_AT_ONCE = 10_000
"""Dead letters that one request replays."""


def page(query: LettersQuery) -> Page[LetterOut]:
    """``Refused``: VALIDATION_FAILED, INVALID_CURSOR."""
    check_known(query.queue)
    bound_to = f"jobs.dead:{query.queue}:{query.task}:{query.error}"
    after: Any = tuple(open_place(query.cursor, bound_to, [int, str])) if query.cursor else None
    found = list(islice(_matching(query.queue, query.task, query.error, after), query.limit + 1))
    shown = found[: query.limit]
    more = len(found) > query.limit
    return Page([_out(each) for each in shown], seal_place(bound_to, shown[-1].place) if more else None)


def letter(queue: str, key: str) -> DeadLetter:
    """``Refused(NOT_FOUND)``."""
    found = dead.letter(queue, key, whose()) if NAME.fullmatch(queue) else None
    if found is None:
        raise Refused(NOT_FOUND, "there is no such dead letter")
    return found


def told(queue: str, key: str) -> LetterOut:
    return _out(letter(queue, key))


def replay(queue: str, key: str) -> None:
    """``Refused``: NOT_FOUND; CONFLICT for what is no job."""
    found = letter(queue, key)
    if found.envelope is None:
        raise Refused(CONFLICT, "it could not be read as a job and can only be thrown away")
    if not dead.replay(found):
        raise Refused(NOT_FOUND, "somebody else has taken care of it")
    _record("jobs.replayed", found)


def replay_many(body: ReplayMany) -> Replayed:
    """At most ``MOST_AT_ONCE``; what comes to die meanwhile is left alone. ``Refused(VALIDATION_FAILED)``."""
    check_known(body.queue)
    found = [each for each in _matching(body.queue, body.task, body.error) if each.envelope is not None]
    if body.dry_run:
        return Replayed(len(found), 0)
    done = 0
    for each in found[:MOST_AT_ONCE]:
        if dead.replay(each):
            _record("jobs.replayed", each)
            done += 1
    return Replayed(len(found), done)


def discard(queue: str, key: str) -> None:
    found = letter(queue, key)
    if dead.discard(found):
        _record("jobs.discarded", found)


def _matching(queue: str, task: str | None, error: str | None, after: Any = None) -> Iterator[DeadLetter]:
    for each in dead.letters(queue, whose(), after=after):
        if task is not None and (each.envelope is None or each.envelope.name != task):
            continue
        if error is None or error.lower() in each.error.lower():
            yield each


def _out(found: DeadLetter) -> LetterOut:
    job = found.envelope
    if job is None:
        return LetterOut(found.queue, found.key, found.died_at, found.error)
    return LetterOut(
        found.queue,
        found.key,
        found.died_at,
        found.error,
        job.id,
        job.name,
        job.attempt,
        job.tenant_id,
        clean(job.payload),
        [step.name for step in job.then.steps] if job.then else [],
    )


def _record(action: str, found: DeadLetter) -> None:
    job = found.envelope
    told = {"task": job.name, "attempts": job.attempt} if job else None
    audit.record(action, kind="job", id=job.id if job else found.key, before=told)
