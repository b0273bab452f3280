"""A job as it is put on its queue: signed, in its tenant's lane, behind the gates of its task's limits."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b

from core.background.queue import messages
from core.background.queue.frames import frame, head_of, lane_of, mark_of
from core.background.queue.gates import gates_of
from core.background.queue.routes import Route
from core.data.outbox import Envelope


def framed(envelope: Envelope, route: Route, nonce: bytes | None = None) -> bytes:
    gates = gates_of(envelope, route.limits, route.defaults) + (mark_of(envelope.id) if route.followed else "")
    return frame(messages.encode(envelope), head_of(route.priority, lane_of(envelope.tenant_id), gates), nonce)


def nonce_of(envelope: Envelope) -> bytes:
    """The same for the same attempt at the same job, so that one that is handed over twice is known."""
    told = envelope.id.bytes + envelope.attempt.to_bytes(4) + envelope.kind.encode() + envelope.name.encode()
    return urlsafe_b64encode(blake2b(told, digest_size=12).digest())


def nonce_from(nonce: bytes, queue: str) -> bytes:
    """For a job that is passed on from a queue, where it had this one: another each time that it comes by."""
    return urlsafe_b64encode(blake2b(nonce + queue.encode(), digest_size=12).digest())
