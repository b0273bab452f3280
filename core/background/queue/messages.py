"""Envelopes as they lie on the queue: JSON, signed, so that who can write to Redis cannot make us run anything."""

from __future__ import annotations

import time

import msgspec

from core.data.outbox import Envelope
from core.trust import secrets

PURPOSE = "queue"
"""Of the keys that sign messages."""

_decoder = msgspec.json.Decoder(Envelope)


class BadMessage(Exception):
    """What lay on the queue is not one of our messages; the text says why."""


def encode(envelope: Envelope) -> bytes:
    """Needs the app's context, for its keys."""
    return secrets.sign(PURPOSE, msgspec.json.encode(envelope)).encode()


def decode(message: bytes) -> Envelope:
    """Raises ``BadMessage`` for anything that was not signed with one of our keys, or does not read as an envelope."""
    try:
        return _decoder.decode(secrets.verify(PURPOSE, message.decode("ascii")))
    except secrets.BadSignature:
        raise BadMessage("the signature is not ours") from None
    except (UnicodeDecodeError, msgspec.MsgspecError) as exc:
        raise BadMessage(f"it does not read as an envelope: {exc}") from None


def age(envelope: Envelope) -> float:
    """Seconds since it was enqueued or, of a step, since what came before it was done.

    The first 48 bits of a UUIDv7 are milliseconds of Unix time (RFC 9562).
    """
    since = envelope.then.since if envelope.then else None
    return time.time() - ((envelope.id.int >> 80) / 1000 if since is None else since)
