"""``Idempotency-Key`` on POST: a client that never heard the answer asks again, and the work is done once.

The key is a row in the request's own transaction. A second request with it waits for the first (2 s, then
IDEMPOTENCY_IN_PROGRESS); once the first has committed, the same request gets the same reply again, marked
``Idempotency-Replayed: true``, and another one IDEMPOTENCY_KEY_REUSED. A request that failed leaves its key free.

Views marked ``@in_steps`` have no single transaction: their key is committed first as taken, for at most two minutes.
A reply over 64 KiB, a stream, or one that sets a cookie is not kept: asking again then says that the work is done.
Replies are kept sealed, for they may carry tokens, and for at least 24 hours. Two requests are the same when address
and JSON body are, byte for byte; of a view that reads its body itself only the address is compared. Routes without a
tenant have no keys.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from flask import Flask, Response, request
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column

from core.background import duties
from core.background.duties import Duty
from core.config import settings
from core.data.models import TenantModel, db, utcnow
from core.data.tenancy import all_tenants
from core.data.unit import in_steps, unit
from core.errors import CONFLICT, IDEMPOTENCY_IN_PROGRESS, IDEMPOTENCY_KEY_REUSED, MALFORMED_REQUEST, Refused
from core.trust import secrets
from core.trust.identity import current_principal
from core.trust.permissions import marks_of

F = TypeVar("F", bound=Callable[..., Any])

MAX_KEPT = 64 * 1024
KEPT_FOR = timedelta(hours=24)
TAKEN_FOR = timedelta(minutes=2)
LOCK_NOT_AVAILABLE = "55P03"
KEPT_HEADERS = ("Content-Type", "ETag", "Link", "Location")

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class IdempotencyKey(TenantModel):
    """One key of one caller on one route. ``status`` is null while a view in steps runs, ``body`` if none was kept."""

    __tablename__ = "core_idempotency"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "principal", "route", "key"),
        sa.Index(None, "tenant_id", "created_at"),
    )

    principal: Mapped[str] = mapped_column(sa.String(60))
    route: Mapped[str] = mapped_column(sa.String(200))
    key: Mapped[str] = mapped_column(sa.String(255))
    fingerprint: Mapped[bytes] = mapped_column(sa.LargeBinary)
    status: Mapped[int | None] = mapped_column(sa.SmallInteger)
    headers: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    body: Mapped[str | None] = mapped_column(sa.Text, info={"sealed": "idempotency"})


def keyless(function: F) -> F:
    """Mark a POST route that passes over ``Idempotency-Key``: it changes nothing, or may be repeated freely."""
    marks_of(function).notes["keyless"] = True
    return function


class Claim:
    """A key in the hands of this request: ``replay`` is the earlier reply, if there is one."""

    def __init__(self, row_id: UUID, replay: Response | None = None) -> None:
        self.row_id = row_id
        self.replay = replay

    def keep(self, reply: Response) -> None:
        """Remember a reply that succeeded; any other leaves the key free. Within a unit."""
        if not 200 <= reply.status_code < 300:
            return self.release()
        small = not reply.is_streamed and not reply.direct_passthrough and "Set-Cookie" not in reply.headers
        raw = reply.get_data() if small else b""
        self._update(
            status=reply.status_code,
            headers={name: reply.headers[name] for name in KEPT_HEADERS if name in reply.headers},
            body=secrets.seal("idempotency", raw) if small and len(raw) <= MAX_KEPT else None,
        )

    def release(self) -> None:
        """Leave the key free: nothing was done that may not be done again. Within a unit."""
        db.session.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.id == self.row_id))

    def _update(self, **values: Any) -> None:
        db.session.execute(sa.update(IdempotencyKey).where(IdempotencyKey.id == self.row_id).values(**values))


def given_key() -> str | None:
    """The request's key; ``Refused(MALFORMED_REQUEST)`` unless it is 1 to 255 visible ASCII characters."""
    key: str | None = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not _KEY.fullmatch(key):
        raise Refused(MALFORMED_REQUEST, "Idempotency-Key is 1 to 255 visible ASCII characters")
    return key


def claim(key: str, raw: bytes) -> Claim:
    """Take the key for this request, or find the earlier reply. Within a unit. Raises ``Refused``: 409, 422."""
    who = current_principal()
    names = {
        "principal": f"{who.kind}:{who.id}" if who.id else who.kind,
        "route": request.endpoint or "",
        "key": key,
    }
    fingerprints = _fingerprints(raw)
    for _ in range(3):
        taken = _insert(names, fingerprints[0])
        if taken is not None:
            return Claim(taken)
        row = db.session.scalar(sa.select(IdempotencyKey).filter_by(**names))
        if row is not None:
            return _again(row, fingerprints)
        # It was forgotten, or given back, between the two statements.
    raise _in_progress()


def _fingerprints(raw: bytes) -> list[bytes]:
    """What tells this request from another, under each of SECRET_KEYS; the first is kept.

    A plain hash of a body with a password in it would let whoever reads the table guess the password.
    """
    what = request.full_path.encode() + b"\n" + raw
    keys = (secrets.derive("idempotency.fingerprint", key_index=index) for index in range(len(settings().secret_keys)))
    return [bytes.fromhex(secrets.key_id(key)) + hmac.digest(key, what, "sha256") for key in keys]


def _insert(names: dict[str, str], fingerprint: bytes) -> UUID | None:
    """The new row's id; ``None`` when the key is there. Waits for a transaction that is about to put it there."""
    fresh = insert(IdempotencyKey).values(**names, fingerprint=fingerprint)
    db.session.execute(sa.text("set local lock_timeout = '2s'"))
    try:
        row_id = db.session.scalar(fresh.on_conflict_do_nothing().returning(IdempotencyKey.id))
    except sa.exc.OperationalError as exc:
        if getattr(exc.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise _in_progress() from None
        raise
    db.session.execute(sa.text("set local lock_timeout to default"))
    return row_id


def _in_progress() -> Refused:
    return Refused(IDEMPOTENCY_IN_PROGRESS, retry_after=1)


def _again(row: IdempotencyKey, fingerprints: list[bytes]) -> Claim:
    comparable = any(row.fingerprint[:4] == fingerprint[:4] for fingerprint in fingerprints)
    if comparable and row.fingerprint not in fingerprints:
        raise Refused(IDEMPOTENCY_KEY_REUSED)
    if row.status is None:
        return _take_over(row)
    headers = row.headers or {}
    try:
        if row.body is None:
            raise secrets.BadSignature
        raw = secrets.open_sealed("idempotency", row.body)
    except secrets.BadSignature:
        # Too large to keep, or sealed with a key that has been retired since.
        detail = f"the first request with this key succeeded with {row.status}; its reply was not kept"
        raise Refused(CONFLICT, detail, headers={k: v for k, v in headers.items() if k == "Location"}) from None
    reply = Response(raw, row.status, {**headers, "Idempotency-Replayed": "true"})
    return Claim(row.id, reply)


def _take_over(row: IdempotencyKey) -> Claim:
    """Continue where a process that worked in steps has died; while it may still be at it, refuse."""
    abandoned = utcnow() - TAKEN_FOR
    taken = db.session.execute(
        sa.update(IdempotencyKey)
        .where(IdempotencyKey.id == row.id, IdempotencyKey.status.is_(None), IdempotencyKey.updated_at < abandoned)
        .values(updated_at=utcnow())
        .returning(IdempotencyKey.id)
    ).first()
    if taken is None:
        raise _in_progress()
    return Claim(row.id)


def init_app(app: Flask) -> None:
    duties.add(app, Duty("core.idempotency_purge", 300.0, ("scheduler",), in_steps(purge), lock="redis"))


def purge(limit: int = 1000, now: datetime | None = None) -> int:
    """Forget keys older than 24 hours, at most ``limit`` in each tenant; answers how many. A duty calls it."""
    before = (now or utcnow()) - KEPT_FOR
    gone = 0
    for _ in all_tenants("forgetting idempotency keys"):
        with unit():
            old = sa.select(IdempotencyKey.id).where(IdempotencyKey.created_at < before).limit(limit)
            found = db.session.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.id.in_(old)))
            gone += found.rowcount  # type: ignore[attr-defined]
    return gone
