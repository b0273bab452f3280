"""``fence(table)``: what a migration script calls after it has created a tenant's table."""

from __future__ import annotations

from core.data.tenancy import POLICY, fence_sql


def fence(table: str, *, shared: bool = False) -> None:
    """Put row-level security on a tenant table, forced on its owner too; calling it again renews the policy.

    ``shared`` is for the core's two logs, where rows without a tenant are the board's own.
    """
    from alembic import op

    op.execute(f'drop policy if exists {POLICY} on "{table}"')
    for statement in fence_sql(table, shared=shared):
        op.execute(statement)
