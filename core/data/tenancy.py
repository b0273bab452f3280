"""The current tenant, and the two fences around its rows.

There is always a tenant; a board that nobody splits has one, ``default``. Rows are kept apart twice: the ORM
filters and stamps, which is what people meet, and PostgreSQL's row-level security, forced also on the tables'
owner, refuses whatever slips past the ORM. Each transaction tells PostgreSQL its tenant when it begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from core.contracts import Tenant, TenantDirectory, service
from core.data.scoped import Scoped
from core.errors import TENANT_MISMATCH, UNKNOWN_TENANT, Refused

DEFAULT = Tenant(UUID("00000000-0000-7000-8000-000000000001"), "default", "Default")
PLATFORM = Tenant(UUID("00000000-0000-7000-8000-000000000002"), "platform", "Platform")
NOBODY = UUID(int=0)

Reason = Literal["outbox sweep", "audit sealer", "migration", "backup", "erasure"]

_tenant: ContextVar[Tenant | None] = ContextVar("tenant", default=None)
_bypass: ContextVar[str] = ContextVar("bypass", default="")

POLICY = "tenant_fence"
_TENANT_NOW = "nullif(current_setting('pegboard.tenant', true), '')::uuid"
_BYPASSED = "coalesce(current_setting('pegboard.bypass', true), '') <> ''"


def tenant_or_none() -> Tenant | None:
    """The tenant of this request, frame or job, or ``None`` where there is none."""
    return _tenant.get()


def current_tenant() -> Tenant:
    """The tenant in whose name this request, frame or job runs; ``LookupError`` where there is none."""
    tenant = _tenant.get()
    if tenant is None:
        raise LookupError("no tenant here: wrap the call in `with acting_in(tenant):`")
    return tenant


def acting_in(tenant: Tenant) -> AbstractContextManager[Tenant]:
    """Do what follows in the name of ``tenant``. Not within a unit of work: its transaction has its tenant already."""
    _refuse_inside_transaction(tenant)
    return Scoped(_tenant, tenant)  # type: ignore[arg-type]


def all_tenants(reason: str) -> Iterator[Tenant]:
    """Visit every active tenant, one at a time, and say why: ``for tenant in all_tenants("nightly summary"):``."""
    if not reason:
        raise ValueError("all_tenants() wants the reason for reaching across tenants")
    for tenant in list(service(TenantDirectory).every()):
        if tenant.active:
            with acting_in(tenant):
                yield tenant


@contextmanager
def bypass(reason: Reason) -> Iterator[None]:
    """Lift both fences for one of the named housekeepers. PostgreSQL sees the reason in ``pegboard.bypass``."""
    _refuse_inside_transaction(reason)
    token = _bypass.set(reason)
    try:
        yield
    finally:
        _bypass.reset(token)


def resolve(by_host: Tenant | None, by_header: str | None, by_credential: UUID | None) -> Tenant:
    """The one tenant that host, ``X-Tenant-ID`` (id or slug) and the credential's ``tid`` agree upon.

    Raises ``Refused``: UNKNOWN_TENANT (404) or TENANT_MISMATCH (403).
    """
    named = [tenant for tenant in (by_host, _by_header(by_header), _by_credential(by_credential)) if tenant]
    if len({tenant.id for tenant in named}) > 1:
        raise Refused(TENANT_MISMATCH)
    tenant = named[0] if named else DEFAULT
    if not tenant.active:
        raise Refused(UNKNOWN_TENANT)
    return tenant


def _by_header(value: str | None) -> Tenant | None:
    if not value:
        return None
    directory = service(TenantDirectory)
    try:
        tenant = directory.by_id(UUID(value))
    except ValueError:
        tenant = directory.by_slug(value)
    if tenant is None:
        raise Refused(UNKNOWN_TENANT, "X-Tenant-ID names no tenant of this board")
    return tenant


def _by_credential(tenant_id: UUID | None) -> Tenant | None:
    if tenant_id is None:
        return None
    tenant = service(TenantDirectory).by_id(tenant_id)
    if tenant is None:
        raise Refused(UNKNOWN_TENANT, "the credential belongs to a tenant that is no longer here")
    return tenant


# -- the fences -------------------------------------------------------------------------------------------------


def fence_sql(table: str, *, shared: bool = False) -> tuple[str, ...]:
    """The DDL that puts row-level security on a tenant table, forced on its owner too.

    ``shared`` also lets rows without a tenant through while no tenant is set: the board's own log rows.
    """
    rule = f"tenant_id = {_TENANT_NOW} or {_BYPASSED}"
    if shared:
        rule = f"tenant_id is not distinct from {_TENANT_NOW} or {_BYPASSED}"
    return (
        f'alter table "{table}" enable row level security',
        f'alter table "{table}" force row level security',
        f'create policy {POLICY} on "{table}" using ({rule}) with check ({rule})',
    )


def stamp() -> UUID:
    """The current tenant's id, as the default of every ``tenant_id`` column."""
    return current_tenant().id


def tell_database(engine: sa.Engine) -> None:
    """Begin each transaction of an engine with its tenant and bypass; both end with it.

    One round trip does it, so the driver may send no ``begin`` of its own: its connections are in autocommit.
    """
    engine.dialect.do_begin = _begin_in_tenant  # type: ignore[method-assign]


def _begin_in_tenant(dbapi_connection: Any) -> None:
    tenant, reason = _tenant.get(), _bypass.get().replace("'", "''")
    dbapi_connection.execute(
        f"begin; set local pegboard.tenant to '{tenant.id if tenant else ''}'; set local pegboard.bypass to '{reason}'",
        prepare=False,
    )


FENCE = "select set_config('pegboard.tenant', $1, true), set_config('pegboard.bypass', $2, true)"
"""The same as a statement with parameters, for a transaction that has no ``begin`` of its own."""


def fence_values() -> list[bytes]:
    tenant = _tenant.get()
    return [str(tenant.id).encode() if tenant else b"", _bypass.get().encode()]


def hang_on(session_class: type[Session]) -> None:
    """Put the fences on every session of a class."""
    event.listen(session_class, "after_begin", _refuse_outside)
    event.listen(session_class, "do_orm_execute", _filter)
    event.listen(session_class, "before_flush", _keep_tenants)


def _refuse_outside(session: Session, transaction: Any, connection: sa.Connection) -> None:
    from core.data.unit import unit_or_none

    if unit_or_none() is None:
        raise RuntimeError("SQL outside a unit of work: wrap the call in `with unit():`")


def _filter(state: ORMExecuteState) -> None:
    from core.data.models import TenantModel

    if _bypass.get() or not (state.is_select or state.is_update or state.is_delete) or state.is_column_load:
        return
    tenant = _tenant.get()
    tenant_id = tenant.id if tenant else NOBODY
    state.statement = state.statement.options(
        with_loader_criteria(TenantModel, lambda cls: cls.tenant_id == tenant_id, include_aliases=True)
    )


def _keep_tenants(session: Session, flush: Any, instances: Any) -> None:
    """Stamp new rows and refuse rows that would belong to, or move to, another tenant."""
    from core.data.models import TenantModel

    for row in (*session.new, *session.dirty):
        if not isinstance(row, TenantModel):
            continue
        if row.tenant_id is None:
            row.tenant_id = stamp()
        history: Any = sa.inspect(row).attrs.tenant_id.history
        moved = row in session.dirty and history.has_changes() and history.deleted
        if moved or (not _bypass.get() and row.tenant_id != stamp()):
            raise ValueError(f"{type(row).__name__}.tenant_id is set by the server and never changes")


def _refuse_inside_transaction(wanted: object) -> None:
    from core.data.unit import unit_or_none

    if unit_or_none() is not None:
        raise RuntimeError(f"cannot switch to {wanted!r} inside a unit of work: close it first")
