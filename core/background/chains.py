"""Chains and groups: tasks that begin when others are done.

    enqueue_chain(step("shop.fetch", url=url), step("shop.read").given("page"), step("shop.tell", user_id=user.id))
    enqueue_group([step("shop.page", number=number) for number in range(10)], then=step("shop.bind").given("pages"))

Each step is a job of its own, with its task's retries; what follows it is put on a queue in the same step that settles
it. Who enqueues is who all of them act for, in the same tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from core.background.queue.keys import DEFAULT
from core.background.queue.routes import route_of
from core.background.queue.steps import following_group
from core.background.tasks import write
from core.data.envelopes import Group, Step, Then, plain
from core.data.faults import as_refusal
from core.data.models import new_id
from core.data.unit import unit, unit_or_none

LARGEST = 1000
"""Members of a group."""
MOST_CARRIED = 4 * 1024 * 1024
"""Bytes of JSON of what follows a group, over all members: each carries it, so that it is there whoever is last."""


def step(name: str, /, **arguments: Any) -> Step:
    """A call of the task ``name``, for a chain or a group; ``ValueError`` as from ``enqueue``.

    ``step(…).given("page")`` has what came before as its argument ``page``: what that task returned or, after a group,
    the list of what its members returned, in their order. Results are JSON of at most 64 KiB, a group's together.
    """
    return Step(name, plain(name, arguments))


def enqueue_chain(*steps: Step) -> UUID:
    """Have each step begin when the one before is done, the first once the current unit has committed.

    Answers the first job's id. A step that fails for good ends the chain: replayed from the dead letters, it goes on.
    All steps together take at most 64 KiB (``ValueError``).
    """
    if not steps:
        raise ValueError("a chain has one step at least")
    _refuse_others(steps)
    first, *rest = steps
    _refuse_given(first)
    return write("step", first.name, first.payload, then=Then(tuple(rest)))


def enqueue_group(members: Iterable[Step], *, then: Step) -> UUID:
    """Have all members run, in any order, and ``then`` begin once all are done.

    Answers the id of the job that ``then`` will be. There are 1 to 1,000 members; each takes, together with ``then``,
    at most 64 KiB, and as each carries ``then`` along, that takes at most 4 MiB in all (``ValueError``). While one has
    failed for good the group waits, for seven days, until it is replayed from the dead letters.
    """
    several = list(members)
    if not 1 <= len(several) <= LARGEST:
        raise ValueError(f"a group has 1 to {LARGEST} members, and not {len(several)}")
    _refuse_others([*several, then])
    for member in several:
        _refuse_given(member)
    _refuse_too_heavy(then, len(several))
    group = Group(new_id(), len(several), _queue_of(several[0].name))
    if unit_or_none() is not None:
        return _write_all(several, group, then)
    with unit():
        return _write_all(several, group, then)


def _write_all(members: list[Step], group: Group, then: Step) -> UUID:
    for number, member in enumerate(members):
        write("step", member.name, member.payload, then=Then((then,), group, number))
    return following_group(group)


def _queue_of(name: str) -> str:
    """Where members are counted: on the queue of the first, as far as anybody knows it now."""
    try:
        return route_of(name).queue
    except Exception as exc:
        if as_refusal(exc) is None:
            raise
        return DEFAULT  # Redis is away: it is counted there, which takes a job more for each


def _refuse_too_heavy(then: Step, members: int) -> None:
    size = len(msgspec.json.encode(then))
    if size * members > MOST_CARRIED:
        raise ValueError(
            f"{then.name}: what follows a group is kept with each of its members, and takes {size} bytes, while for"
            f" {members} members it may take {MOST_CARRIED // members};"
            " store the data (service(ObjectStore), a row) and pass its key"
        )


def _refuse_others(steps: Sequence[Any]) -> None:
    for each in steps:
        if not isinstance(each, Step):
            raise ValueError(f"{each!r} is no step; write step('shop.fetch', url=url)")


def _refuse_given(step: Step) -> None:
    if step.takes is not None:
        raise ValueError(f"{step.name}: nothing comes before it, and {step.takes} would have no value")
