"""Who may see which jobs, and what is done with them.

A tenant's people see that tenant's dead letters. The queues themselves are shared by all: they are the platform's, or
those of ``default`` on a board that nobody splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID

from core.background.queue import contents, dead, delivery, figures, messages
from core.background.queue.dead import DeadLetter
from core.background.queue.figures import QueueFigures
from core.contracts import TenantDirectory, service
from core.data import DEFAULT, PLATFORM, current_tenant
from core.errors import CONFLICT, FORBIDDEN, NOT_FOUND, Refused
from core.telemetry import clean
from core.trust import audit
from core.web import Page
from core.web.pages import open_place, seal_place
from plugins.jobs.schemas import JobOut, JobsQuery, LetterOut, LettersQuery, Replayed, ReplayMany

MOST_AT_ONCE = 10_000
"""Dead letters that one request replays."""


def board_wide() -> bool:
    """Whether the current tenant may see what belongs to no tenant, or to all of them."""
    tenant = current_tenant()
    if tenant.id == PLATFORM.id:
        return True
    known = {each.id for each in service(TenantDirectory).every()}
    return tenant.id == DEFAULT.id and known <= {DEFAULT.id, PLATFORM.id}


# -- queues -----------------------------------------------------------------------------------------------------


def queues() -> list[QueueFigures]:
    _check_board_wide()
    return [figures.figures(name) for name in delivery.names()]


def queue(name: str) -> QueueFigures:
    """``Refused``: FORBIDDEN, NOT_FOUND."""
    _check_board_wide()
    if name not in delivery.names():
        raise Refused(NOT_FOUND, f"there is no queue {name!r}; there are {', '.join(delivery.names())}")
    return figures.figures(name)


def set_paused(name: str, paused: bool) -> QueueFigures:
    before = queue(name)
    (figures.pause if paused else figures.resume)(name)
    audit.record(
        f"jobs.queue_{'paused' if paused else 'resumed'}", kind="queue", id=name, before={"paused": before.paused}
    )
    return figures.figures(name)


def _check_board_wide() -> None:
    if not board_wide():
        raise Refused(FORBIDDEN, "the queues are shared by all tenants: they are the platform's")


# -- jobs -------------------------------------------------------------------------------------------------------


def jobs(query: JobsQuery) -> list[JobOut]:
    """The next that wait, fall due or run, or the last that ended; a tenant's own."""
    found = _ended(query) if query.state in ("completed", "failed") else _living(query)
    whose = _whose()
    return list(islice((each for each in found if whose is None or each.tenant_id == whose), query.limit))


def _living(query: JobsQuery) -> Iterator[JobOut]:
    place = {"waiting": contents.waiting, "delayed": contents.scheduled, "active": contents.leased}[query.state]
    for frame in islice(place(query.queue), MOST_AT_ONCE):
        try:
            job = messages.decode(frame.message)
        except messages.BadMessage:
            continue
        yield JobOut(job.id, job.name, job.attempt, job.tenant_id, job.due_at)


def _ended(query: JobsQuery) -> Iterator[JobOut]:
    for each in figures.ended(query.queue, query.state):
        yield JobOut(UUID(each.id), each.task, each.attempt, each.tenant_id, None, each.ended_at, each.ms, each.error)


# -- dead letters -----------------------------------------------------------------------------------------------


def page(query: LettersQuery) -> Page[LetterOut]:
    """``Refused(INVALID_CURSOR)``."""
    bound_to = f"jobs.dead:{query.queue}:{query.task}:{query.error}"
    after: Any = tuple(open_place(query.cursor, bound_to, [int, str])) if query.cursor else None
    found = list(islice(_matching(query.queue, query.task, query.error, after), query.limit + 1))
    shown = found[: query.limit]
    more = len(found) > query.limit
    return Page([_out(each) for each in shown], seal_place(bound_to, shown[-1].place) if more else None)


def letter(queue: str, key: str) -> DeadLetter:
    """``Refused(NOT_FOUND)``."""
    found = dead.letter(queue, key, _whose())
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
    """At most ``MOST_AT_ONCE``; what comes to die meanwhile is left alone."""
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
    for each in dead.letters(queue, _whose(), after=after):
        if task is not None and (each.envelope is None or each.envelope.name != task):
            continue
        if error is None or error.lower() in each.error.lower():
            yield each


def _whose() -> UUID | None:
    return None if board_wide() else current_tenant().id


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
    )


def _record(action: str, found: DeadLetter) -> None:
    job = found.envelope
    told = {"task": job.name, "attempts": job.attempt} if job else None
    audit.record(action, kind="job", id=job.id if job else found.key, before=told)
