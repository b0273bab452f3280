"""What the outbox tests share: a deliverer that notes what it is given, the rows, the queue as it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from flask import Flask

from core.background.queue import contents, messages
from core.data import outbox
from core.data.models import db, new_id
from core.data.outbox import Envelope
from core.data.tenancy import DEFAULT, bypass
from core.data.unit import unit

NOW = timedelta(0)


class Deliverer:
    """Stands where the queue does and notes what it is given; ``refuse`` decides what it raises."""

    def __init__(self) -> None:
        self.batches: list[list[Envelope]] = []
        self.refuse: Callable[[Envelope], Exception | None] = lambda envelope: None

    def __call__(self, envelopes: Sequence[Envelope]) -> None:
        self.batches.append(list(envelopes))
        for envelope in envelopes:
            if error := self.refuse(envelope):
                raise error

    @property
    def names(self) -> list[list[str]]:
        return [[envelope.name for envelope in batch] for batch in self.batches]


@contextmanager
def delivering(app: Flask) -> Iterator[Deliverer]:
    box = app.extensions["pegboard.outbox"]
    before, box.deliver = box.deliver, Deliverer()
    try:
        yield box.deliver
    finally:
        box.deliver = before
        box.resting_until = 0.0


def rows(superuser: psycopg.Connection[Any]) -> list[Any]:
    query = (
        "select id, name, attempts, last_error, due_at, tenant_id from core_outbox where handed_at is null order by id"
    )
    return superuser.execute(query).fetchall()


def put(name: str, tenant_id: Any = DEFAULT.id, **more: Any) -> None:
    """A row that an earlier process left."""
    leave(Envelope(id=new_id(), kind="task", name=name, payload={}, tenant_id=tenant_id, **more))


def leave(envelope: Envelope) -> None:
    with bypass("outbox sweep"), unit():
        db.session.add(outbox._row(envelope))


def waiting() -> list[Envelope]:
    """The queue, next first."""
    return [messages.decode(frame.message) for frame in contents.waiting()]


def scheduled() -> list[Envelope]:
    """What waits until it is due, the earliest first."""
    return [messages.decode(frame.message) for frame in contents.scheduled()]
