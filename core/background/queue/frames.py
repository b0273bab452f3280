"""Frames: what lies in a queue's lists. A nonce, a head, a message; the scripts read the first two (``lua.py``)."""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple
from uuid import UUID

NONCE = 16
OURS = re.compile(rb"[A-Za-z0-9_-]{16}")
RANKED = 16
"""Characters before a frame in the sorted set of those with a priority: they keep the order of equals."""
LOWEST, HIGHEST = -1000, 1000


class Frame(NamedTuple):
    """One enqueueing of one job: a job that is tried again keeps its id and gets another nonce.

    ``head`` is the priority, the lane in which it waits, and the gates that it has to pass.
    """

    nonce: bytes
    head: bytes
    message: bytes

    @classmethod
    def read(cls, raw: bytes) -> Frame:
        """Whatever lies there: what is no frame of ours is one whose message nobody can read."""
        head, separator, message = raw[NONCE:].partition(b":")
        if not separator or not OURS.fullmatch(raw[:NONCE]):
            return cls(raw[:NONCE], b"", b":" + raw[NONCE:])
        return cls(raw[:NONCE], head, message)

    def raw(self) -> bytes:
        return b"%b%b:%b" % (self.nonce, self.head, self.message)

    @property
    def key(self) -> bytes:
        """By which it is kept with the dead: where the nonce is not one of ours, one that an address can hold."""
        return self.nonce if OURS.fullmatch(self.nonce) else fresh()

    @property
    def lane(self) -> str:
        return self.head.partition(b"/")[2].partition(b";")[0].decode(errors="replace")

    @property
    def gated(self) -> bool:
        return b";c" in self.head or b";r" in self.head

    @property
    def followed(self) -> bool:
        return b";s" in self.head


def head_of(priority: int = 0, lane: str = "", gates: str = "") -> bytes:
    return f"{max(LOWEST, min(HIGHEST, priority))}/{lane}{gates}".encode()


def mark_of(job_id: UUID) -> str:
    """For the head of a job that is followed: the scripts know by it what to tell of whom."""
    return f";s0={job_id}"


def lane_of(tenant_id: UUID | None) -> str:
    """Where a tenant's jobs wait: 22 characters, none for the board's own."""
    return "" if tenant_id is None else urlsafe_b64encode(tenant_id.bytes)[:22].decode()


def tenant_of(lane: str) -> UUID | None:
    return UUID(bytes=urlsafe_b64decode(lane + "==")) if lane else None


def fresh() -> bytes:
    """A nonce that nothing else has."""
    return urlsafe_b64encode(os.urandom(12))


def frame(message: bytes, head: bytes = b"0/", nonce: bytes | None = None) -> bytes:
    """A new frame around a message."""
    return b"%b%b:%b" % (nonce or fresh(), head, message)
