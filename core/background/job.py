"""What a task may tell of its job while it runs.

    @task(followed=True)
    @signed_in
    def build_report(year: int) -> dict[str, int]:
        job = current_job()
        job.progress(0.4, "page 4 of 10")
        job.log("July has no sales")
        job.note(pages=10)
        return {"pages": 10}

Whoever enqueued it follows that over REST. Nothing is told of a job whose task is not ``followed``, and a store that is
away takes nothing from the job but its story.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from core.background.queue import stories
from core.background.queue.steps import wants_result
from core.background.queue.stories import MOST_RESULT, Held
from core.background.queue.telling import LeaseLost as LeaseLost, Teller
from core.background.queue.words import fit
from core.data.outbox import Envelope
from core.telemetry import clean

if TYPE_CHECKING:
    from core.background.policy import Policy

MOST_NOTED = 4096
"""Bytes of JSON of the notes of one attempt at a job."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class BadResult(ValueError):
    """What a followed task returned cannot be kept; trying again would not help."""


class Job:
    """The job under way: its ``id``, and the ``attempt`` at it, from 1."""

    def __init__(self, envelope: Envelope, held: Held | None = None) -> None:
        self.id: UUID = envelope.id
        self.attempt: int = envelope.attempt
        self.result = ""
        self._envelope = envelope
        self._held = held
        self._teller: Teller | None = None
        self._followed = False
        self._noted: dict[str, Any] = {}

    def progress(self, part: float, message: str = "") -> None:
        """How much of it is done, from 0 to 1, and what it is at; a message is cut after 512 characters.

        May be called as often as one likes: what comes faster than five a second is told with the next.
        ``ValueError`` for another number.
        """
        if isinstance(part, bool) or not isinstance(part, int | float) or not 0 <= part <= 1:
            raise ValueError(f"progress is a number from 0 to 1, and not {part!r}")
        said = _text(message)
        if self._teller is not None:
            facts = {"progress": str(float(part)), "message": said}
            self._teller.merged(stories.told("progress", {"progress": float(part), "message": said}, facts))

    def log(self, text: str) -> None:
        """A line for whoever follows it, cut after 512 characters; secrets are taken out of it."""
        said = _text(text)
        if self._teller is not None:
            self._teller.tell(stories.told("log", {"text": said}))

    def note(self, **facts: Any) -> None:
        """Facts about it by name, each in place of an earlier one: what JSON can hold, at most 4 KiB of it in all.

        Secrets are taken out of them. ``ValueError`` for what does not fit.
        """
        kept = {name: _plain(name, value) for name, value in facts.items()}
        noted = {**self._noted, **kept}
        if (size := len(_json(noted).encode())) > MOST_NOTED:
            raise ValueError(f"the job's notes take {size} bytes together, and may take {MOST_NOTED}")
        self._noted = noted
        if self._teller is not None and kept:
            facts = {f"note:{name}": _json(value) for name, value in kept.items()}
            self._teller.tell(stories.told("note", {"notes": kept}, facts))

    # -- for those who run it --

    def begin(self) -> None:
        """It is a followed one, and from here on tells."""
        self._followed = True
        if self._held is not None:
            self._teller = Teller(self._held, str(self.id))
            self._teller.tell(stories.started(self._envelope))

    def answer(self, value: Any) -> None:
        """``BadResult`` for what cannot be kept, where anybody wants it."""
        if not self._followed and not wants_result(self._envelope):
            return
        try:
            self.result = msgspec.json.encode(value).decode()
        except (TypeError, ValueError) as exc:
            raise BadResult(f"its result cannot travel as JSON ({exc}); return plain values") from exc
        if len(self.result.encode()) > MOST_RESULT:
            raise BadResult(f"its result takes more than {MOST_RESULT} bytes; store it, and return its key")

    def end(self) -> None:
        if self._teller is not None:
            self._teller.end()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it takes a text, and not {value!r}")
    return fit(value)


def _plain(name: str, value: Any) -> Any:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a note: take small letters, digits and _, at most 64")
    try:
        [plain] = clean({name: msgspec.to_builtins(value, str_keys=True)}).values()  # a name may tell that it is secret
        _json(plain)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"note {name}: {exc}; give plain values") from exc
    return plain


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_current: ContextVar[Job | None] = ContextVar("job", default=None)


def current_job() -> Job:
    """The job that is under way here; ``LookupError`` outside of one."""
    job = _current.get()
    if job is None:
        raise LookupError("no job is under way here: current_job() is for tasks")
    return job


def run_as(envelope: Envelope, held: Held | None) -> Job:
    """Make it the current one of this context, for good; ``end`` it when it is done."""
    job = Job(envelope, held)
    _current.set(job)
    return job


def begun(policy: Policy) -> None:
    """The current job is about to run."""
    if policy.followed:
        current_job().begin()


def answered(value: Any) -> None:
    current_job().answer(value)
