"""Jobs that are the same: of a unique task one at a time stands under a key of its own in the queue."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from core.background.queue.keys import Keys
from core.background.queue.routes import Route
from core.background.queue.sameness import facts
from core.data.outbox import Envelope

LONGEST = 86_400.0
"""Seconds after which a job no longer keeps its twins away, whatever has become of it."""


def key_of(envelope: Envelope, route: Route) -> str:
    """The key that a job and its twins share; empty for one that has none."""
    if route.by is None or envelope.kind != "task":
        return ""
    same = facts(envelope, route.by or {*envelope.payload, *route.defaults}, route.defaults)
    told = msgspec.json.encode((envelope.name, envelope.tenant_id, same), order="deterministic")
    return f"{Keys(route.queue).prefix}u:{blake2b(told, digest_size=16).hexdigest()}"


def milliseconds(route: Route) -> int:
    return int((route.window or LONGEST) * 1000)
