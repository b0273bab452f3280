"""Failed log-ins, counted by where they came from, whom they were aimed at, or when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import UNSET

from core.data import db, utcnow
from core.errors import VALIDATION_FAILED, FieldFault, Refused
from plugins.auth.models import Event
from plugins.auth.services import events
from plugins.auth.user_schemas import Anomalies, AnomaliesQuery, Anomaly

USUAL = timedelta(hours=24)
FARTHEST = timedelta(days=90)

# The hour in UTC, whatever the connection's zone; as a literal, for PostgreSQL must see the same text in both places.
_HOUR = sa.func.date_trunc(sa.literal_column("'hour'"), Event.created_at, sa.literal_column("'UTC'"))
_KEYS: dict[str, Any] = {
    "ip": Event.ip,
    "account": sa.func.coalesce(Event.account, sa.literal_column("''")),
    "hour": _HOUR,
}


def failures(query: AnomaliesQuery) -> Anomalies:
    """The most first. ``Refused(VALIDATION_FAILED)`` for a time that is too long ago."""
    now = utcnow()
    since = now - USUAL if query.since is None else query.since
    if since < now - FARTHEST:
        detail = f"at most {FARTHEST.days} days ago"
        raise Refused(VALIDATION_FAILED, f"since: {detail}", fields=[FieldFault("since", "OUT_OF_RANGE", detail)])
    key = _KEYS[query.by]
    count = sa.func.count()
    last = sa.func.max(Event.created_at)
    # Served by the index on (tenant_id, kind, created_at).
    found = db.session.execute(
        sa.select(key, count, sa.func.count(Event.account.distinct()), sa.func.count(Event.ip.distinct()), last)
        .where(Event.kind == events.LOG_IN_FAILED, Event.created_at >= since)
        .group_by(key)
        .order_by(count.desc(), last.desc(), key)
        .limit(query.limit)
    )
    return Anomalies(
        [
            Anomaly(
                key=_text(value),
                failures=number,
                accounts=accounts if query.by != "account" else UNSET,
                ips=ips if query.by != "ip" else UNSET,
                last_at=at,
            )
            for value, number, accounts, ips, at in found
        ]
    )


def _text(key: datetime | str) -> str:
    """An hour as times are written everywhere: RFC 3339, with ``Z``."""
    return key if isinstance(key, str) else key.astimezone(UTC).isoformat().replace("+00:00", "Z")
