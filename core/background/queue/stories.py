"""What is told of a followed job: a stream of its events, and its state beside it, both under its queue's prefix.

Whoever moves a job tells of it in the same script (``lua.STORIES``); here is what is told. A job's story ends with
``done``, ``failed`` or ``merged``, and is kept for a day from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from core.background.queue.lua import KEPT_ENDED
from core.background.queue.steps import next_id

if TYPE_CHECKING:
    from core.background.queue.routes import Route
    from core.data.envelopes import Envelope, Group

MOST_RESULT = 64 * 1024
"""Bytes of JSON of what a task returns."""

AFRESH = ("ended_at", "error", "result", "progress", "message", "into")
"""What no longer holds when a job, or another attempt at it, begins."""


class Held(NamedTuple):
    """The lease under which a process runs a job: only who has it may tell of the job."""

    queue: str
    process: str
    nonce: str


def told(
    what: str,
    data: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    *,
    now: str = "",
    keep: int = 0,
    begins: bool = False,
    gone: tuple[str, ...] = (),
) -> str:
    """An event for the scripts, and what it makes of the job's state: ``facts``, and the time under the name ``now``.

    ``begins``: it may be the first of its story; another without a story before it is passed over.
    """
    text = {name: value if isinstance(value, str) else _json(value) for name, value in (facts or {}).items()}
    whole = {"what": what, "data": _json(data), "facts": text, "now": now, "begins": begins, "gone": gone}
    return _json({**whole, "keep": keep} if keep else whole)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def queued(envelope: Envelope, route: Route) -> str:
    """Empty for one that nobody follows."""
    if not route.followed:
        return ""
    data = {} if envelope.due_at is None else {"due_at": envelope.due_at}
    facts = {**_head(envelope), "state": "queued"}
    return told("queued", data, facts, now="queued_at", begins=True, gone=AFRESH)


def waiting(member: Envelope, group: Group, route: Route) -> str:
    """Of the job that comes after a group, told as a member of that is put on its queue; empty where nobody follows it.

    ``route`` is that job's.
    """
    if not route.followed or member.then is None:
        return ""
    facts = {**_whose(member, member.then.steps[0].name), "attempt": "1", "state": "waiting"}
    return told("waiting", {"members": group.size}, facts, begins=True)


def started(envelope: Envelope) -> str:
    facts = {**_head(envelope), "state": "running"}
    return told("started", {"attempt": envelope.attempt}, facts, now="started_at", begins=True, gone=AFRESH)


def again(envelope: Envelope, due_at: datetime | None, error: str | None) -> str:
    data = {"attempt": envelope.attempt, "error": error, "due_at": due_at}
    return told("retry", data, {"state": "retrying", "error": error or ""})


def done(envelope: Envelope, result: str) -> str:
    facts = {"state": "done", "result": result or "null"}
    return told("done", {"attempt": envelope.attempt}, facts, now="ended_at", keep=KEPT_ENDED)


def failed(envelope: Envelope, error: str) -> str:
    data = {"attempt": envelope.attempt, "error": error}
    return told("failed", data, {"state": "failed", "error": error}, now="ended_at", keep=KEPT_ENDED)


def _head(envelope: Envelope) -> dict[str, Any]:
    """Whose job it is: who asks for its story is held to that."""
    following = next_id(envelope)
    return {
        **({} if following is None else {"next": str(following)}),
        **_whose(envelope, envelope.name),
        "attempt": str(envelope.attempt),
    }


def _whose(envelope: Envelope, task: str) -> dict[str, str]:
    principal = envelope.principal
    return {
        "task": task,
        "tenant": str(envelope.tenant_id or ""),
        "owner": _json((principal.kind, principal.id)),
    }
