"""Envelopes: one job on its way, and what follows it. What is in them travels as JSON."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

from core.contracts import SYSTEM, Principal

MAX_PAYLOAD = 64 * 1024
"""Bytes of JSON of a job's arguments, with those of all that follows it."""

LONGEST_NAME = 200
"""Characters of a task's name."""

Kind = Literal["task", "listener", "step"]
"""A *step* is a task in a chain or a group. A process of a release that knows no steps does not read its envelope: it
leaves it where it is, or with the dead, rather than run it and forget what follows."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task with its arguments, of which ``takes`` is the one that what came before it answers."""

    name: str
    payload: dict[str, Any]
    takes: str | None = None

    def given(self, argument: str) -> Step:
        """The same, but this argument is the result of what comes before; of a group, the list of its results."""
        if not isinstance(argument, str) or not argument.isidentifier():
            raise ValueError(f"{self.name}: {argument!r} names no argument; write .given('page')")
        if argument in self.payload:
            raise ValueError(f"{self.name}: {argument} is given already, and cannot be the result of what came before")
        return msgspec.structs.replace(self, takes=argument)


class Group(msgspec.Struct, frozen=True):
    """So many jobs that are counted, in a queue, as they are done."""

    id: UUID
    size: int
    queue: str


class Then(msgspec.Struct, frozen=True, omit_defaults=True):
    """What follows a job: ``steps``, the first of which begins when it is done or, where it is the ``member``-th of a
    ``group``, when all of that are.

    ``results`` is the group whose results become the job's argument ``into``. ``since``: when what came before it was
    done, in seconds of Unix time; without it the job was enqueued.
    """

    steps: tuple[Step, ...] = ()
    group: Group | None = None
    member: int = 0
    results: Group | None = None
    into: str = ""
    since: float | None = None


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """One job on its way: what to run with which payload, and in whose name. ``due_at`` means not before.

    ``waits`` says since when it waits for something that is away, in seconds of Unix time, and ``unknown`` how many
    workers in a row did not know its task: neither counts as an attempt.
    """

    id: UUID
    kind: Kind
    name: str
    payload: dict[str, Any]
    tenant_id: UUID | None = None
    request_id: str | None = None
    principal: Principal = SYSTEM
    due_at: datetime | None = None
    attempt: int = 1
    then: Then | None = None
    waits: float = 0.0
    unknown: int = 0


class Handed(NamedTuple):
    """What names a job on its queue, its payload left out, and when it was handed over."""

    envelope: Envelope
    at: datetime


def plain(name: str, payload: Any) -> dict[str, Any]:
    """The arguments of a task as JSON has them. ``ValueError`` for what it cannot carry, or more than 64 KiB of it; and
    for a name that is none."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"{str(name)[:100]!r} names no task; write enqueue('shop.send_report')")
    try:
        found: dict[str, Any] = msgspec.to_builtins(payload, str_keys=True)
        if not isinstance(found, dict):
            raise TypeError(f"they are {type(payload).__name__}, and not given by name")
        encoded = msgspec.json.encode(found)
        # Both are written without a word, the one as a null, and refused by PostgreSQL or missed by the task.
        if b"null" in encoded or rb"\u0000" in encoded:
            _refuse_lossy(found)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{name}: the arguments cannot travel as JSON ({exc}); pass ids and plain values") from exc
    if len(encoded) > MAX_PAYLOAD:
        raise ValueError(
            f"{name}: the arguments take {len(encoded)} bytes and a job carries at most {MAX_PAYLOAD};"
            " store the data (service(ObjectStore), a row) and pass its key"
        )
    return found


def _refuse_lossy(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"JSON has no number {value}")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("PostgreSQL keeps no text with the character U+0000")
    if isinstance(value, dict):
        for key, part in value.items():
            _refuse_lossy(key)
            _refuse_lossy(part)
    elif isinstance(value, list):
        for part in value:
            _refuse_lossy(part)


def refuse_too_long(envelope: Envelope) -> None:
    """``ValueError`` where a job and what follows it take more than 64 KiB together."""
    if envelope.then is None:
        return
    size = len(msgspec.json.encode((envelope.payload, envelope.then)))
    if size > MAX_PAYLOAD:
        raise ValueError(
            f"{envelope.name}: its arguments and what follows it take {size} bytes and a job carries at most"
            f" {MAX_PAYLOAD}; store the data (service(ObjectStore), a row) and pass its key"
        )
