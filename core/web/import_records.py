"""How far each import has come: kept with the rows themselves, so that both are there or neither."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Mapped, mapped_column

from core.background import duties
from core.background.duties import Duty
from core.data.models import TenantModel, db, utcnow
from core.data.tenancy import all_tenants
from core.data.unit import in_steps, unit

KEPT_FOR = timedelta(days=30)


class Import(TenantModel):
    """One import into one resource. ``next_row`` counts from 0; ``last`` is a digest of the row before it."""

    __tablename__ = "core_imports"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "id"), sa.Index(None, "tenant_id", "updated_at"))

    resource: Mapped[str] = mapped_column(sa.String(200))
    principal_id: Mapped[UUID | None] = mapped_column(sa.Uuid, default=None)
    next_row: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    created: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    failed: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    last: Mapped[bytes | None] = mapped_column(sa.LargeBinary, default=None)


class ImportFault(TenantModel):
    """A row that was not taken, and why."""

    __tablename__ = "core_import_faults"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["tenant_id", "import_id"], ["core_imports.tenant_id", "core_imports.id"], ondelete="CASCADE"
        ),
        sa.UniqueConstraint("tenant_id", "import_id", "row"),
    )

    import_id: Mapped[UUID] = mapped_column(sa.Uuid)
    row: Mapped[int] = mapped_column(sa.BigInteger)
    code: Mapped[str] = mapped_column(sa.String(80))
    field: Mapped[str | None] = mapped_column(sa.String(200), default=None)
    detail: Mapped[str] = mapped_column(sa.String(500))


def init_app(app: Flask) -> None:
    duties.add(app, Duty("core.imports_purge", 3600.0, ("scheduler",), in_steps(purge), lock="redis"))


def purge(now: datetime | None = None) -> int:
    """Forget how imports went that nobody has touched for 30 days; answers how many. A duty calls it."""
    gone = 0
    for _ in all_tenants("forgetting old imports"):
        with unit():
            old = sa.delete(Import).where(Import.updated_at < (now or utcnow()) - KEPT_FOR)
            gone += db.session.execute(old).rowcount  # type: ignore[attr-defined]
    return gone
