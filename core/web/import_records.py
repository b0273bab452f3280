"""How far each import has come: kept with the rows themselves, so that both are there or neither.

Of one resource and of whoever began it: nobody else sees an import, or goes on with it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
import sqlalchemy as sa
from flask import Flask
from msgspec import Meta
from sqlalchemy.orm import Mapped, mapped_column

from core.background import duties
from core.background.duties import Duty
from core.data.models import TenantModel, db, utcnow
from core.data.tenancy import all_tenants
from core.data.unit import in_steps, unit
from core.errors import CONFLICT, NOT_FOUND, Refused
from core.trust.identity import current_principal
from core.web.pages import PageQuery, paginate
from core.web.replies import Page

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


class RowFault(msgspec.Struct, frozen=True):
    """A row that was not taken; rows count from 0, without the line that names the columns."""

    row: int
    code: Annotated[str, Meta(examples=["VALIDATION_FAILED"])]
    field: Annotated[str, Meta(examples=["$.email"])] | None
    detail: Annotated[str, Meta(examples=["is required"])]


def locked(id: UUID, resource: str) -> Import:
    """The import of this id, begun where there is none, kept from others until the unit ends. ``Refused(CONFLICT)``."""
    record = db.session.get(Import, id, with_for_update=True, populate_existing=True)
    if record is None:
        record = Import(id=id, resource=resource, principal_id=current_principal().id)
        db.session.add(record)
        db.session.flush()
    if not _ours(record, resource):
        raise Refused(CONFLICT, "the id is of another import: choose one of your own")
    return record


def mine(id: UUID, resource: str) -> Import:
    """``Refused(NOT_FOUND)``."""
    record = db.session.get(Import, id)
    if record is None or not _ours(record, resource):
        raise Refused(NOT_FOUND, "there is no such import of yours")
    return record


def _ours(record: Import, resource: str) -> bool:
    return record.resource == resource and record.principal_id == current_principal().id


def advance(record: Import, next_row: int, last: bytes | None, taken: int, faults: list[RowFault]) -> None:
    """So many rows more were taken, and these were not; ``last`` is the digest of the last of them, if any."""
    record.next_row = max(record.next_row, next_row)
    record.created += taken
    record.failed += len(faults)
    record.last = last if last is not None else record.last
    db.session.flush()
    db.session.add_all(
        ImportFault(import_id=record.id, row=each.row, code=each.code, field=each.field, detail=each.detail)
        for each in faults
    )


def faults_page(record: Import, query: PageQuery) -> Page[RowFault]:
    """The rows that were not taken, in their order."""
    wanted = sa.select(ImportFault).where(ImportFault.import_id == record.id)
    found = paginate(wanted, ((ImportFault.row, "asc"), (ImportFault.id, "asc")), query)
    return found.map(lambda each: RowFault(each.row, each.code, each.field, each.detail))


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
