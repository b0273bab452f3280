"""What Alembic sees of one history when it compares models with tables, and how it writes down the difference.

Only the history's own tables, told by their prefix, so that nobody else's are ever altered or dropped; types in plain
SQLAlchemy, so that an old migration does not depend on today's code; a ``fence(…)`` for each tenant table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import sqlalchemy as sa
from alembic import autogenerate
from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations.ops import ModifyTableOps
from alembic.runtime.migration import MigrationContext
from alembic.util import PriorityDispatchResult
from sqlalchemy.dialects.postgresql import JSON, JSONB

from core.data.migrations.history import History
from core.data.migrations.rules import is_fenced, is_shared
from core.data.tenancy import POLICY

# One permissive policy for every command, both for what is seen and what is written: a second one would open it again.
_HELD = """
    select c.relrowsecurity and c.relforcerowsecurity and coalesce(
        (select array_agg(p.polname)::text[] = array[:policy] and bool_and(
            p.polcmd = '*' and p.polpermissive and p.polqual is not null and p.polwithcheck is not null
        ) from pg_policy p where p.polrelid = c.oid), false)
    from pg_class c where c.relname = :table and c.relnamespace = current_schema()::regnamespace
"""


def options(history: History, metadata: sa.MetaData) -> dict[str, Any]:
    """The arguments of Alembic's ``configure`` for one history."""

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "table" or history.owns(name or "")

    def include_object(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        return kind != "table" or history.owns(name or "")

    return {
        "target_metadata": metadata,
        "version_table": history.version_table,
        "transaction_per_migration": True,
        "compare_type": True,
        "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        "include_name": include_name,
        "include_object": include_object,
        "render_item": render_item,
    }


def differences(connection: sa.Connection, history: History, metadata: sa.MetaData) -> list[str]:
    """What ``flask db revision`` would write for this history, a statement a line."""
    context = MigrationContext.configure(connection, opts=options(history, metadata))
    wanted = autogenerate.produce_migrations(context, metadata).upgrade_ops
    assert wanted is not None
    code = autogenerate.render_python_code(wanted, render_item=render_item, migration_context=context)
    lines = [line.strip() for line in code.splitlines() if line.strip() and "###" not in line]
    return [] if lines == ["pass"] else [" ".join(statement) for statement in _statements(lines)]


def _statements(lines: list[str]) -> Iterator[list[str]]:
    """Gather the lines of a statement that goes over several."""
    statement: list[str] = []
    for line in lines:
        statement.append(line)
        text = " ".join(statement)
        if text.count("(") == text.count(")"):
            yield statement
            statement = []


# -- how types are written ----------------------------------------------------------------------------------------


def render_item(kind: str, thing: Any, context: AutogenContext) -> str | Literal[False]:
    """Types of our own as what they are in the database; the rest as Alembic writes it."""
    if kind != "type":
        return False
    if isinstance(thing, sa.types.TypeDecorator):
        return str(render._repr_type(thing.impl_instance, context))
    if isinstance(thing, (JSON, JSONB)):
        context.imports.add("from sqlalchemy.dialects import postgresql")
        return f"postgresql.{type(thing).__name__}()"
    return False


# -- fences -------------------------------------------------------------------------------------------------------


class Fence(MigrateOperation):
    """Put row-level security on a table. A downgrade leaves it up: it goes with its table."""

    def __init__(self, table: str, shared: bool, up: bool = True) -> None:
        self.table, self.shared, self.up = table, shared, up

    def reverse(self) -> Fence:
        return Fence(self.table, self.shared, up=not self.up)

    def to_diff_tuple(self) -> tuple[str, str]:
        return "fence", self.table


@render.renderers.dispatch_for(Fence)
def _render(context: AutogenContext, operation: Fence) -> list[str]:
    if not operation.up:
        return []
    context.imports.add("from core.data.migrations import fence")
    return [f'fence("{operation.table}"{", shared=True" if operation.shared else ""})']


@autogenerate.comparators.dispatch_for("table")
def _compare(
    context: AutogenContext,
    changes: ModifyTableOps,
    schema: str | None,
    name: str,
    there: sa.Table | None,
    wanted: sa.Table | None,
) -> PriorityDispatchResult:
    """After the creation of a tenant table, or where one stands unfenced, comes a fence."""
    if wanted is not None and is_fenced(wanted):
        held = there is not None and context.connection is not None and _held(context.connection, name)
        if not held:
            changes.ops.append(Fence(name, is_shared(wanted)))
    return PriorityDispatchResult.CONTINUE


def _held(connection: sa.Connection, table: str) -> bool:
    return bool(connection.scalar(sa.text(_HELD), {"table": table, "policy": POLICY}))
