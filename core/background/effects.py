"""Effects that happen once, although what brings them about may be repeated.

    if once(f"shop.paid:{payment_id}"):
        credit(account, amount)

The key is a row in the same transaction as what follows it: both are there, or neither. Who comes with the same key at
the same time waits for the first, and is told no once that has committed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from core.background import duties
from core.background.duties import Duty
from core.data.models import TenantModel, db, utcnow
from core.data.tenancy import all_tenants
from core.data.unit import current_unit, in_steps, unit

KEPT_FOR = timedelta(days=30)
"""From then on a key is new again: a job is not repeated after so long."""
LONGEST = 200


class Effect(TenantModel):
    """Something that has happened."""

    __tablename__ = "core_effects"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "key"), sa.Index(None, "tenant_id", "created_at"))

    key: Mapped[str] = mapped_column(sa.String(LONGEST))


def once(key: str) -> bool:
    """Whether this is the first unit of the current tenant with this key, of 1 to 200 characters, to commit.

    ``LookupError`` outside a unit of work, or a tenant. Keys of a plugin begin with its name.
    """
    if not 0 < len(key) <= LONGEST:
        raise ValueError(f"a key has 1 to {LONGEST} characters, and not {len(key)}")
    current_unit()
    row = insert(Effect).values(key=key).on_conflict_do_nothing(index_elements=["tenant_id", "key"])
    return db.session.execute(row.returning(Effect.id)).first() is not None


def init_app(app: Flask) -> None:
    duties.add(app, Duty("core.effects_purge", 3600.0, ("scheduler",), in_steps(purge), lock="redis"))


def purge(now: datetime | None = None) -> int:
    """Forget the keys of what happened 30 days ago; answers how many. A duty calls it."""
    gone = 0
    for _ in all_tenants("forgetting old effects"):
        with unit():
            old = sa.delete(Effect).where(Effect.created_at < (now or utcnow()) - KEPT_FOR)
            gone += db.session.execute(old).rowcount  # type: ignore[attr-defined]
    return gone
