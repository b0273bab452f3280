"""The rules that keep tenants apart in the schema itself, and the faults of tables that break them.

A table with a ``tenant_id`` is a tenant's unless it is a ``GlobalModel`` (or, for a bare ``Table``, says
``info={"global": True}``). Its unique keys and references must carry the tenant, or one tenant's rows could block or
point at another's: row-level security does not look at constraints.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import sqlalchemy as sa

from core.data.models import GlobalModel, TenantModel, mappers

LOGS = frozenset({"core_outbox", "core_audit"})
"""The core's two logs: their rows may belong to nobody but the board, and only their own rooms touch them."""


def is_global(table: sa.Table) -> bool:
    return bool(table.info.get("global")) or any(issubclass(cls, GlobalModel) for cls in _classes(table))


def is_fenced(table: sa.Table) -> bool:
    """Whether row-level security belongs on the table."""
    return "tenant_id" in table.c and not is_global(table)


def is_shared(table: sa.Table) -> bool:
    """Whether rows without a tenant live among the others."""
    return bool(table.c.tenant_id.nullable)


def table_faults(metadata: sa.MetaData, owners: Collection[str] | None = None) -> list[str]:
    """What breaks the rules, one line a fault, each with its cure; ``owners`` (table prefixes) narrows the search."""
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    if owners is not None:
        tables = [table for table in tables if table.name.partition("_")[0] in owners]
    return [fault for table in tables for fault in _faults(table, metadata)]


def _faults(table: sa.Table, metadata: sa.MetaData) -> Iterator[str]:
    yield from _foreign_faults(table, metadata)
    if is_global(table) or table.name in LOGS:
        return
    if "tenant_id" not in table.c:
        yield f"table {table.name}: has no tenant_id; derive its class from TenantModel, or from GlobalModel"
        return
    classes = _classes(table)
    if classes and not any(issubclass(cls, TenantModel) for cls in classes):
        yield f"table {table.name}: has a tenant_id but {classes[0].__name__} is no TenantModel; derive it from that"
    if is_shared(table):
        yield f"table {table.name}: tenant_id may be null; make it nullable=False"
    for name, columns in _unique_keys(table):
        if "tenant_id" not in columns:
            yield (
                f"table {table.name}: {name} is unique across tenants; begin it with tenant_id:"
                f" ({', '.join(('tenant_id', *columns))})"
            )


def _unique_keys(table: sa.Table) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name and columns of each unique key. The lone ``id`` is left out: UUIDs collide with nobody's."""
    key = tuple(table.primary_key.columns.keys())
    if key != ("id",):
        yield "the primary key", key
    for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, sa.UniqueConstraint):
            yield f"the constraint {constraint.name}", tuple(constraint.columns.keys())
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        if index.unique:
            yield f"the index {index.name}", tuple(index.columns.keys())


def _foreign_faults(table: sa.Table, metadata: sa.MetaData) -> Iterator[str]:
    owner = table.name.partition("_")[0]
    for key in sorted(table.foreign_key_constraints, key=lambda each: str(each.name)):
        pairs = [(part.parent.name, *_target(part)) for part in key.elements]
        target = pairs[0][1]
        if not target:
            told = f"refers to {pairs[0][2]!r}, which names no column"
            yield f"table {table.name}: {key.name} {told}; write ForeignKey('table.column')"
        elif target.partition("_")[0] != owner:
            yield f"table {table.name}: {key.name} refers to {target}, another plugin's; keep the id, ask its contract"
        elif is_fenced(table) or _fenced(target, metadata):
            yield from _reference_faults(table, key, target, pairs, metadata)


def _reference_faults(
    table: sa.Table,
    key: sa.ForeignKeyConstraint,
    target: str,
    pairs: list[tuple[str, str, str]],
    metadata: sa.MetaData,
) -> Iterator[str]:
    theirs = [column for _, _, column in pairs]
    if not _fenced(target, metadata):
        yield (
            f"table {table.name}: {key.name} refers to the global table {target}, which a tenant's own schema or"
            " database does not hold; keep the id without a reference"
        )
    elif ("tenant_id", target, "tenant_id") not in pairs:
        columns = ", ".join(column for column, _, _ in pairs)
        yield (
            f"table {table.name}: {key.name} leaves out the tenant; refer with (tenant_id, {columns}) to"
            f" {target} (tenant_id, {', '.join(theirs)}), which needs UniqueConstraint('tenant_id', {theirs[0]!r})"
        )
    elif not any(set(columns) == set(theirs) for _, columns in _unique_keys(metadata.tables[target])):
        names = ", ".join(map(repr, theirs))
        yield f"table {target}: {table.name}.{key.name} refers to it; add UniqueConstraint({names})"
    if (key.ondelete or "").upper().strip() in ("SET NULL", "SET DEFAULT"):
        yield (
            f"table {table.name}: {key.name} would empty tenant_id too; name the columns:"
            f" ondelete={f'{key.ondelete} ({pairs[-1][0]})'!r} (PostgreSQL 15), or clear them in the service"
        )


def _target(part: sa.ForeignKey) -> tuple[str, str]:
    table, _, column = part.target_fullname.rpartition(".")
    return table, column


def _fenced(name: str, metadata: sa.MetaData) -> bool:
    return name in metadata.tables and is_fenced(metadata.tables[name])


def _classes(table: sa.Table) -> list[type]:
    return [mapper.class_ for mapper in mappers() if mapper.local_table is table]
