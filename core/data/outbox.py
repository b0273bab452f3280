"""The outbox: what must happen after a commit, written in the same transaction as what it follows from.

After the commit the process hands its rows to the queue at once. Where it cannot (killed, Redis away), a sweep does so
later under the same ids. Rows are marked and handed over inside one transaction, so two hands never take the same row;
only a process that dies between the two leaves a job that is handed over twice. Some seconds later they are deleted,
once their queues are known to have kept them (``confirming.py``).

A short delay travels with the envelope, for the queue waits to the second. A long one stays here until it is nearly
due: PostgreSQL keeps it through anything, and it takes no room in Redis meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from flask import Flask, current_app
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core import telemetry
from core.contracts import SYSTEM, Principal
from core.data.envelopes import (
    LONGEST_NAME,
    MAX_PAYLOAD as MAX_PAYLOAD,
    Envelope as Envelope,
    Handed,
    Kind as Kind,
    Then,
    plain,
    refuse_too_long,
)
from core.data.faults import as_refusal
from core.data.holding import Holds
from core.data.models import db, new_id, utcnow
from core.data.tenancy import tenant_or_none
from core.data.unit import current_unit, unit
from core.errors import REDIS_UNAVAILABLE

log = logging.getLogger(__name__)

SHORT_DELAY = timedelta(seconds=60)
LONGEST_DELAY = 3652 * 86_400.0
REST = 10.0
"""Seconds without fast path in this process once Redis has failed it."""

Deliver = Callable[[Sequence[Envelope]], None]
Lost = Callable[[Sequence[Handed]], set[UUID]]


class OutboxRow(db.Model):  # type: ignore[name-defined]
    """An envelope that has not been handed over, or was a moment ago. Fenced by tenant; the board's own rows have
    none."""

    __tablename__ = "core_outbox"
    __table_args__ = (
        # For the sweep, which takes what has been due for longest, and for whoever confirms what was handed over.
        sa.Index(
            "ix_core_outbox_next",
            sa.text("coalesce(due_at, created_at)"),
            "id",
            postgresql_where=sa.text("handed_at is null"),
        ),
        sa.Index("ix_core_outbox_handed_at", "handed_at", postgresql_where=sa.text("handed_at is not null")),
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True)
    tenant_id: Mapped[UUID | None] = mapped_column(sa.Uuid)
    kind: Mapped[str] = mapped_column(sa.String(20))
    name: Mapped[str] = mapped_column(sa.String(LONGEST_NAME))
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    context: Mapped[dict[str, Any]] = mapped_column(JSONB)
    due_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=utcnow)
    attempts: Mapped[int] = mapped_column(sa.Integer, default=0)
    last_error: Mapped[str | None] = mapped_column(sa.String(500))
    follows: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    handed_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class Outbox:
    """One board's way out: the deliverer that ``background`` puts in, and when it last failed."""

    def __init__(self) -> None:
        self.deliver: Deliver | None = None
        self.holds = Holds()
        self.lost: Lost = lambda handed: set()
        self.resting_until = 0.0

    def open(self) -> bool:
        return self.deliver is not None and time.monotonic() >= self.resting_until

    def rest(self) -> None:
        self.resting_until = time.monotonic() + REST


def init_app(app: Flask) -> None:
    app.extensions["pegboard.outbox"] = Outbox()


def set_deliverer(app: Flask, deliver: Deliver, holds: Holds, lost: Lost) -> None:
    """``deliver`` puts envelopes on the queue, all or none, in one round trip; it raises when it cannot. ``holds``
    answers what is to stay here for now, for it would go where a tenant's jobs fill a queue; ``lost`` which of those
    that were delivered a moment ago no queue has."""
    box = app.extensions["pegboard.outbox"]
    box.deliver, box.holds, box.lost = deliver, holds, lost


def put(
    kind: Kind,
    name: str,
    payload: Any,
    delay: float = 0,
    *,
    principal: Principal = SYSTEM,
    id: UUID | None = None,
    then: Then | None = None,
) -> UUID:
    """Write a row in the current unit (``LookupError`` outside one) and answer the job's id.

    ``payload`` is a dict or Struct of what JSON can carry, ids, times and decimals included, up to 64 KiB
    (``ValueError``), with what is to follow; ``delay`` is in seconds, at most ten years (``ValueError``).
    """
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not delay <= LONGEST_DELAY:
        raise ValueError(f"{name}: a delay of {delay!r} seconds; it is a number of at most {LONGEST_DELAY:.0f}")
    work = current_unit()
    tenant = tenant_or_none()
    envelope = Envelope(
        id=id or new_id(),
        kind=kind,
        name=name,
        payload=plain(name, payload),
        tenant_id=tenant.id if tenant else None,
        request_id=telemetry.request_id(),
        principal=principal,
        due_at=utcnow() + timedelta(seconds=delay) if delay > 0 else None,
        then=then,
    )
    refuse_too_long(envelope)
    db.session.add(_row(envelope))
    if "outbox" not in work.notes:
        work.notes["outbox"] = []
        work.after_commit(lambda: _hand_over(work.notes["outbox"]))
    work.notes["outbox"].append(envelope)
    return envelope.id


def find(id: UUID) -> Envelope | None:
    """A job of the current tenant's that is not known yet to be with a queue. Needs a unit of work."""
    row = db.session.scalar(sa.select(OutboxRow).where(OutboxRow.id == id))
    return None if row is None else read(row)


def _row(envelope: Envelope) -> OutboxRow:
    context = {
        "request_id": envelope.request_id,
        "principal": msgspec.to_builtins(envelope.principal),
        "attempt": envelope.attempt,
    }
    return OutboxRow(
        id=envelope.id,
        tenant_id=envelope.tenant_id,
        kind=envelope.kind,
        name=envelope.name,
        payload=envelope.payload,
        context=context,
        due_at=envelope.due_at,
        follows=None if envelope.then is None else msgspec.to_builtins(envelope.then),
    )


def read(row: OutboxRow) -> Envelope:
    """``msgspec.ValidationError`` for one that another release has written otherwise."""
    facts = {name: getattr(row, name) for name in ("id", "kind", "name", "payload", "tenant_id", "due_at")}
    return msgspec.convert({**facts, **row.context, "then": row.follows}, Envelope)


def box_here() -> Outbox:
    box: Outbox = current_app.extensions["pegboard.outbox"]
    return box


# -- the fast path ----------------------------------------------------------------------------------------------


def _hand_over(envelopes: list[Envelope]) -> None:
    """Right after the commit, in the tenant that wrote the rows. What fails here is left to the sweep."""
    box = box_here()
    soon = utcnow() + SHORT_DELAY
    ready = [envelope for envelope in envelopes if envelope.due_at is None or envelope.due_at <= soon]
    if not ready or not box.open():
        return
    try:
        for hold in box.holds.of_new():
            ready = [envelope for envelope in ready if not hold.has(envelope)]
        if not ready:
            return
        with unit():
            there = mark(envelope.id for envelope in ready)
            # Rows of a savepoint that was rolled back are not there, nor are rows that a sweep was quicker with.
            deliver(box, [envelope for envelope in ready if envelope.id in there], "fast")
    except Exception as exc:  # the commit stands; the sweep will see to it
        if is_away(exc):
            box.rest()
        log.warning("jobs are left to the sweep", extra={"many": len(ready), "reason": brief(exc)})


def deliver(box: Outbox, envelopes: Sequence[Envelope], path: Literal["fast", "sweep"]) -> None:
    if envelopes and box.deliver is not None:
        box.deliver(envelopes)
        for _ in envelopes:
            telemetry.count("outbox_rows_total", path=path)


def mark(ids: Iterable[UUID]) -> set[UUID]:
    """Those that nobody else has handed over. Losing the mark in a crash has a job handed over once more, so the commit
    need not wait for the disk, which is said on the way: it saves a round trip for each job."""
    open = sa.and_(OutboxRow.id.in_(list(ids)), OutboxRow.handed_at.is_(None))
    hurried = sa.func.set_config("synchronous_commit", "off", True)
    mine = sa.update(OutboxRow).where(open).values(handed_at=utcnow()).returning(OutboxRow.id, hurried)
    return set(db.session.scalars(mine, execution_options={"synchronize_session": False}))


def is_away(exc: Exception) -> bool:
    refusal = as_refusal(exc)
    return refusal is not None and refusal.code == REDIS_UNAVAILABLE


def brief(exc: Exception) -> str:
    """Scrubbed before it is cut: half a secret would no longer look like one."""
    return telemetry.scrub(f"{type(exc).__name__}: {exc}"[:4000])[:500]
