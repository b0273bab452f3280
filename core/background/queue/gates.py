"""Limits on a task: how many of its jobs run at once, and how many start in so many seconds, over all workers.

    @task(limits=(AtOnce(1, by=("account_id",)), Rate(100, per=60)))

Jobs that must wait take no hand: they wait in Redis, in their order.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from core.background.queue.sameness import facts
from core.data.outbox import Envelope

MOST = 10_000
LONGEST = 86_400.0


class AtOnce(msgspec.Struct, frozen=True, tag=True):
    """At most ``many`` jobs run at once: of the task or, with ``by``, of those with the same values of these arguments
    in the same tenant; with ``each_tenant``, of each tenant."""

    many: int
    by: tuple[str, ...] = ()
    each_tenant: bool = False

    def faults(self) -> list[str]:
        return _faults(self)

    def word(self) -> str:
        return f"c{self.many}"


class Rate(msgspec.Struct, frozen=True, tag=True):
    """At most ``many`` jobs start in any ``per`` seconds (a sliding window); counted as ``AtOnce`` counts."""

    many: int
    per: float
    by: tuple[str, ...] = ()
    each_tenant: bool = False

    def faults(self) -> list[str]:
        per = isinstance(self.per, bool) or not isinstance(self.per, int | float) or not 0.001 <= self.per <= LONGEST
        return _faults(self) + ([f"has {self!r}; per= is seconds, at most a day"] if per else [])

    def word(self) -> str:
        return f"r{self.many}.{round(self.per * 1000)}"


Limit = AtOnce | Rate


def gates_of(envelope: Envelope, limits: Sequence[Limit], defaults: Mapping[str, Any]) -> str:
    """What a frame's head says of the limits of its task (``lua.py``)."""
    return "".join(f";{limit.word()}={_key(envelope, limit, at, defaults)}" for at, limit in enumerate(limits))


def _key(envelope: Envelope, limit: Limit, at: int, defaults: Mapping[str, Any]) -> str:
    """Those with the same one are counted together; two limits of a task are counted apart."""
    tenant = envelope.tenant_id if limit.by or limit.each_tenant else None
    told = msgspec.json.encode((envelope.name, at, tenant, facts(envelope, limit.by, defaults)), order="deterministic")
    return urlsafe_b64encode(blake2b(told, digest_size=12).digest()).decode()


def _faults(limit: Limit) -> list[str]:
    faults = []
    if isinstance(limit.many, bool) or not isinstance(limit.many, int) or not 1 <= limit.many <= MOST:
        faults.append(f"has {limit!r}; say how many, from 1 to {MOST}")
    if not isinstance(limit.by, tuple) or not all(isinstance(each, str) for each in limit.by):
        faults.append(f"has {limit!r}; by= names arguments in a tuple, such as by=('account_id',)")
    return faults
