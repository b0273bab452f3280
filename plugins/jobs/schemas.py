"""What goes over the wire. Payloads are shown without what looks like a secret."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from core.background.queue.figures import QueueFigures
from core.background.queue.parts import By, Part
from core.background.queue.tallies import HOURS
from core.web import Body, PageQuery

Queue = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$", examples=["default"])]
Task = Annotated[str, Meta(max_length=200, examples=["auth.send_welcome"], description="jobs of this task alone")]
Words = Annotated[str, Meta(max_length=200, examples=["Timeout"], description="jobs whose error has these words")]


class QueuesOut(msgspec.Struct):
    items: list[QueueFigures]


class PartsQuery(Body):
    """Figures of each task, or each tenant; times are of what ended in this hour and so many before it."""

    by: By = "task"
    hours: Annotated[int, Meta(ge=1, le=HOURS)] = 1


class PartsOut(msgspec.Struct):
    items: list[Part]


class JobsQuery(Body):
    """``completed`` and ``failed`` are the last ones that the queue keeps."""

    queue: Queue = "default"
    state: Literal["waiting", "delayed", "active", "completed", "failed"] = "waiting"
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class JobOut(msgspec.Struct):
    id: UUID
    task: str
    attempt: int
    tenant_id: UUID | None = None
    due_at: datetime | None = None
    ended_at: datetime | None = None
    ms: float | None = None
    error: str | None = None


class JobsOut(msgspec.Struct):
    items: list[JobOut]


class FollowedOut(msgspec.Struct):
    """How a job of a followed task stands. ``merged``: it was the same as another, which is done in its place.
    ``next``: the job that follows it in its chain, or its group, once it is made.
    """

    id: UUID
    task: str
    state: Literal["waiting", "queued", "running", "stalled", "retrying", "done", "failed", "merged"]
    attempt: int
    progress: Annotated[float, Meta(ge=0, le=1)] | None = None
    message: str | None = None
    notes: dict[str, Any] = {}
    result: Any = None
    error: str | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    merged_into: UUID | None = None
    next: UUID | None = None


class EventsQuery(PageQuery):
    """``wait``: seconds for which the reply is held back while there is nothing new."""

    wait: Annotated[float, Meta(ge=0, le=25)] = 0


class EventOut(msgspec.Struct):
    """``seq`` counts a job's events from 1; of many only the last thousand are kept."""

    seq: int
    at: datetime
    event: Literal[
        "waiting", "queued", "started", "progress", "log", "note", "stalled", "retry", "done", "failed", "merged"
    ]
    data: dict[str, Any]


class EventsOut(msgspec.Struct):
    """``next`` is always given: what comes later comes after it."""

    items: list[EventOut]
    next: str


class LettersQuery(PageQuery):
    queue: Queue = "default"
    task: Task | None = None
    error: Words | None = None


class LetterOut(msgspec.Struct):
    """A job that nobody tries any more; without ``task`` it could not be read, and can only be thrown away.

    ``then``: the tasks that wait for it, and go on once it has been replayed.
    """

    queue: str
    key: str
    died_at: datetime
    error: str
    job_id: UUID | None = None
    task: str | None = None
    attempts: int | None = None
    tenant_id: UUID | None = None
    payload: dict[str, Any] | None = None
    then: list[str] = []


class ReplayMany(Body):
    """Those that a list with these filters tells. ``dry_run`` counts them and changes nothing."""

    queue: Queue = "default"
    task: Task | None = None
    error: Words | None = None
    dry_run: bool = False


class Replayed(msgspec.Struct):
    matching: int
    replayed: int
