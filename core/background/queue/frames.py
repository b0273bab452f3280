"""Frames: what lies in a queue's lists. A nonce, a priority, a message; the scripts read the first two."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from typing import NamedTuple

NONCE = 16
LOWEST, HIGHEST = -1000, 1000


class Frame(NamedTuple):
    """One enqueueing of one job: a job that is tried again keeps its id and gets another nonce."""

    nonce: bytes
    priority: int
    message: bytes

    @classmethod
    def read(cls, raw: bytes) -> Frame:
        """``ValueError`` for what is no frame."""
        priority, separator, message = raw[NONCE:].partition(b":")
        if len(raw) < NONCE or not separator:
            raise ValueError("it is no frame")
        return cls(raw[:NONCE], int(priority), message)

    def raw(self) -> bytes:
        return b"%b%d:%b" % (self.nonce, self.priority, self.message)


def frame(message: bytes, priority: int = 0) -> bytes:
    """A new frame around a message."""
    return b"%b%d:%b" % (urlsafe_b64encode(os.urandom(12)), max(LOWEST, min(HIGHEST, priority)), message)
