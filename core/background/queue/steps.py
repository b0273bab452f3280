"""Which job comes after which: their ids follow from one another, so what is made twice is known."""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID

from core.data.envelopes import Envelope, Group


def next_id(envelope: Envelope) -> UUID | None:
    """The id of the job that comes after it; ``None`` where it is the last."""
    then = envelope.then
    if then is None or not then.steps:
        return None
    return following_group(then.group) if then.group else derived(envelope.id, "next")


def following_group(group: Group) -> UUID:
    """The id of the job that follows a group."""
    return derived(group.id, "next")


def derived(id: UUID, mark: str) -> UUID:
    """A UUIDv7 of the same millisecond, the same each time."""
    drawn = int.from_bytes(blake2b(id.bytes + mark.encode(), digest_size=10).digest())
    drawn = drawn & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    return UUID(int=id.int >> 80 << 80 | drawn)


def wants_result(envelope: Envelope) -> bool:
    """Whether what the job answers is an argument of what follows."""
    return envelope.then is not None and bool(envelope.then.steps) and envelope.then.steps[0].takes is not None
