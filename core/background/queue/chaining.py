"""What follows a step: made when it is done, and put on a queue in the same script that settles it.

A script can use the keys of one queue alone. What belongs to another goes to the same queue all the same, and whoever
takes it there passes it on; a member of a group that is counted elsewhere is followed by a job that counts it there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from core.background.queue import groups, stories
from core.background.queue.framing import framed
from core.background.queue.leased import Effect
from core.background.queue.routes import Route, route_of
from core.background.queue.steps import derived, next_id
from core.data.envelopes import Envelope, Group, Step, Then

if TYPE_CHECKING:
    from core.background.queue.running import Outcome

COUNT_TASK, FORGET_TASK = "core.count_in_group", "core.forget_group"
"""Tasks of the board's (``chain_tasks.py``)."""


def effects(queue: str, outcome: Outcome) -> list[Effect]:
    """What goes with giving up the lease of a job of this queue that is done."""
    done, then = outcome.envelope, outcome.envelope.then
    if outcome.what != "done" or then is None:
        return []
    found: list[Effect] = []
    if (group := then.results) is not None:
        task = Step(FORGET_TASK, msgspec.to_builtins({"group": group}))
        found += groups.forgotten(group) if group.queue == queue else _put(queue, _made(done, task, "forget"))
    if (group := then.group) is not None:
        follower = _follower(done, then)
        if group.queue == queue:
            found += _joined(then, outcome.result, follower)
        else:
            told = {"member": then.member, "result": outcome.result, "follower": follower}
            found += _put(queue, _made(done, Step(COUNT_TASK, msgspec.to_builtins({"group": group, **told})), "count"))
    elif then.steps:
        found += _put(queue, _follower(done, then, outcome.result))
    return found


def count(then: Then, result: str, follower: Envelope) -> bool:
    """Count a member of a group; whether it was the last. Raises redis-py's errors, and may be repeated."""
    assert then.group is not None
    return groups.apply(then.group, _joined(then, result, follower))


def _joined(then: Then, result: str, follower: Envelope) -> list[Effect]:
    group = then.group
    assert group is not None
    raw, story = _frame(group.queue, follower)
    keep = follower.then is not None and follower.then.results is not None
    return groups.joined(group, then.member, result, raw, str(follower.id), story, keep)


def _put(queue: str, envelope: Envelope) -> list[Effect]:
    raw, story = _frame(queue, envelope)
    return [("put", 0, raw), *([("tell", str(envelope.id), story)] if story else [])]


def _frame(queue: str, envelope: Envelope) -> tuple[bytes, str]:
    """As it is put on this queue, and how its story begins. On one that is not its own it passes no gates: it is only
    passed on from there, and its story begins where it gets."""
    route = route_of(envelope.name)
    if route.queue != queue:
        route = Route(queue, route.priority)
    return framed(envelope, route), stories.queued(envelope, route)


def _follower(done: Envelope, then: Then, result: str = "") -> Envelope:
    """The first of the steps. After a group it asks for the results when it begins."""
    step, *rest = then.steps
    if then.group is not None:
        results = then.group if step.takes else None
        return _made(done, step, results=results, rest=tuple(rest), id=next_id(done))
    if step.takes:
        step = msgspec.structs.replace(step, payload={**step.payload, step.takes: msgspec.json.decode(result)})
    return _made(done, step, rest=tuple(rest), id=next_id(done))


def _made(
    done: Envelope,
    step: Step,
    mark: str = "",
    *,
    results: Group | None = None,
    rest: tuple[Step, ...] = (),
    id: UUID | None = None,
) -> Envelope:
    """In the name of whoever asked for what came before."""
    then = Then(rest, results=results, into=step.takes or "" if results else "", since=time.time())
    return msgspec.structs.replace(
        done, id=id or derived(done.id, mark), name=step.name, payload=step.payload, attempt=1, due_at=None, then=then
    )


def payload(envelope: Envelope) -> dict[str, Any]:
    """A job's arguments, with the results of the group that it follows. Raises ``NoResults``, and redis-py's errors."""
    then = envelope.then
    if then is None or then.results is None:
        return envelope.payload
    return {**envelope.payload, then.into: groups.results(then.results)}
