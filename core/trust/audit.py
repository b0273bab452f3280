"""The audit log: who did what to what, appended with the change itself and sealed into a hash chain soon after.

``record(...)`` writes an entry in the unit of work that makes the change, so there is never one without the other. A
duty seals: it numbers the new entries and gives each the hash of itself and the one before. Entries commit in any
order; the chain's order is ``seq``. A trigger (in the board's first migration) refuses every other change.

What is hashed: SHA-256 over the 32 bytes of the previous hash (zeros for the first entry) and then one JSON object in
UTF-8, keys sorted, no spaces. Its keys are ``COLUMNS``; its values are strings, as PostgreSQL casts them to ``text``,
or null; times are in UTC with six decimals and a ``Z``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from flask import g
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core import telemetry
from core.data.models import db, new_id, utcnow
from core.data.tenancy import bypass, tenant_or_none
from core.data.unit import current_unit, unit
from core.trust.identity import current_principal

FIRST = bytes(32)
SEAL_LOCK = int.from_bytes(b"pb_audit")
TIME = """to_char({} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
COLUMNS = (
    "id",
    "tenant_id",
    "at",
    "actor_kind",
    "actor_id",
    "acting_reason",
    "action",
    "kind",
    "resource_id",
    "before",
    "after",
    "reason",
    "request_id",
    "seq",
)
_TEXTS = ", ".join(f'{TIME.format(name) if name == "at" else f"{name}::text"} as "{name}"' for name in COLUMNS)


_LAST = sa.text("select seq, hash from core_audit where seq is not null order by seq desc limit 1")
_WAITING = sa.text(f"select {_TEXTS} from core_audit where seq is null order by core_audit.id limit :limit")  # noqa: S608
_SEAL = sa.text(
    """
    update core_audit set seq = new.seq, previous_hash = new.previous_hash, hash = new.hash
    from unnest(cast(:ids as uuid[]), cast(:seqs as bigint[]), cast(:before as bytea[]), cast(:hashes as bytea[]))
        as new (id, seq, previous_hash, hash)
    where core_audit.id = new.id
    """
)
_CHAIN = sa.text(
    f"select {_TEXTS}, previous_hash, hash from core_audit where seq >= :first order by core_audit.seq"  # noqa: S608
).execution_options(stream_results=True, yield_per=1000)


class AuditEntry(db.Model):  # type: ignore[name-defined]
    """One thing that somebody did. Fenced by tenant; the board's own entries have none."""

    __tablename__ = "core_audit"
    __table_args__ = (
        sa.UniqueConstraint("seq"),
        sa.Index(None, "tenant_id", "at", "id"),
        sa.Index(None, "tenant_id", "kind", "resource_id", "id"),
        sa.Index("ix_core_audit_unsealed", "id", postgresql_where=sa.text("seq is null")),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, default=new_id)
    tenant_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=utcnow)
    actor_kind: Mapped[str] = mapped_column(sa.String(20))
    actor_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    acting_reason: Mapped[str | None] = mapped_column(sa.String(500))
    action: Mapped[str] = mapped_column(sa.String(100))
    kind: Mapped[str | None] = mapped_column(sa.String(80))
    resource_id: Mapped[str | None] = mapped_column(sa.String(200))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    reason: Mapped[str | None] = mapped_column(sa.Text)
    request_id: Mapped[str | None] = mapped_column(sa.String(128))
    seq: Mapped[int | None] = mapped_column(sa.BigInteger)
    previous_hash: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    hash: Mapped[bytes | None] = mapped_column(sa.LargeBinary)


@dataclasses.dataclass(frozen=True)
class Verified:
    """A chain that holds: its length, the hash of its last entry (keep it elsewhere), and how many are unsealed."""

    count: int
    head: bytes
    unsealed: int


class ChainBroken(Exception):
    """The entry ``seq`` is not what was sealed: altered, missing or out of its place."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"the audit log is broken at entry {seq}: {what}")
        self.seq = seq
        self.what = what


def record(
    action: str,
    *,
    kind: str | None = None,
    id: UUID | str | None = None,
    before: Mapping[str, Any] | msgspec.Struct | None = None,
    after: Mapping[str, Any] | msgspec.Struct | None = None,
    reason: str | None = None,
) -> None:
    """Write down what the current principal does, in the current unit (``LookupError`` outside one).

    ``action`` is ``<plugin>.<what_was_done>``; ``kind`` and ``id`` name the resource; ``before`` and ``after`` are what
    changed of it, never a secret.
    """
    current_unit()
    who, tenant = current_principal(), tenant_or_none()
    db.session.add(
        AuditEntry(
            tenant_id=tenant.id if tenant else None,
            actor_kind=who.kind,
            actor_id=who.id,
            acting_reason=g.get("pegboard_acting_reason"),
            action=action,
            kind=kind,
            resource_id=None if id is None else str(id),
            before=None if before is None else msgspec.to_builtins(before, str_keys=True),
            after=None if after is None else msgspec.to_builtins(after, str_keys=True),
            reason=reason,
            request_id=telemetry.request_id(),
        )
    )


# -- sealing ------------------------------------------------------------------------------------------------------


def seal(limit: int = 1000) -> int:
    """Add up to ``limit`` new entries to the chain, in order of their ids; a duty, outside any unit.

    Answers how many; 0 also where another sealer is at it.
    """
    with bypass("audit sealer"), unit():
        if not db.session.scalar(sa.text("select pg_try_advisory_xact_lock(:key)"), {"key": SEAL_LOCK}):
            return 0
        seq, previous = db.session.execute(_LAST).one_or_none() or (0, FIRST)
        sealed: dict[str, list[Any]] = {"ids": [], "seqs": [], "before": [], "hashes": []}
        for row in db.session.execute(_WAITING, {"limit": limit}).mappings():
            seq += 1
            fresh = _digest(previous, {**row, "seq": str(seq)})
            for name, value in zip(sealed, (row["id"], seq, previous, fresh), strict=True):
                sealed[name].append(value)
            previous = fresh
        if sealed["ids"]:
            db.session.execute(_SEAL, sealed)
        return len(sealed["ids"])


def _digest(previous: bytes, texts: Mapping[str, str | None]) -> bytes:
    return sha256(previous + msgspec.json.encode(dict(texts), order="sorted")).digest()


# -- verifying ----------------------------------------------------------------------------------------------------


def verify_chain(from_seq: int = 1, known: bytes | None = None) -> Verified:
    """Walk the chain from entry ``from_seq`` on; ``ChainBroken`` names the first entry that does not hold.

    ``known`` is a head that an earlier call answered: without it, entries cut off at the end are not missed. All
    tenants' entries are read, in a unit of its own.
    """
    with bypass("audit sealer"), unit():
        previous = _hash_before(from_seq)
        count, found = 0, known in (None, previous)
        with db.session.execute(_CHAIN, {"first": from_seq}) as rows:
            for row in rows.mappings():
                previous = _check(from_seq + count, previous, row)
                found = found or previous == known
                count += 1
        if not found:
            raise ChainBroken(from_seq + count, "the known head is not in the chain; its end was cut off or replaced")
        unsealed = db.session.scalar(sa.text("select count(*) from core_audit where seq is null"))
        return Verified(count, previous, unsealed or 0)


def _hash_before(from_seq: int) -> bytes:
    if from_seq <= 1:
        return FIRST
    query = sa.text("select hash from core_audit where seq = :seq")
    found: bytes | None = db.session.scalar(query, {"seq": from_seq - 1})
    if found is None:
        raise ChainBroken(from_seq - 1, "it is missing")
    return found


def _check(expected: int, previous: bytes, row: sa.RowMapping) -> bytes:
    """The entry's hash, if it is the one that belongs here."""
    if row["seq"] != str(expected):
        raise ChainBroken(expected, "it is missing")
    if row["previous_hash"] != previous:
        raise ChainBroken(expected, "it does not follow the entry before it")
    if row["hash"] != _digest(previous, {name: row[name] for name in COLUMNS}):
        raise ChainBroken(expected, "it was altered")
    return bytes(row["hash"])
