"""Statements of tenant models that are built once: for the few that run so often that building them shows.

    STALE = Prepared(sa.update(Token).where(Token.id == sa.bindparam("id")).values(used=True), Token)
    row = STALE(id=token_id).one_or_none()

An ORM statement is made, filtered, compiled and unpacked anew each time it runs, which costs several times what
PostgreSQL does for it. This one goes straight to the unit's connection, with the tenant as one parameter more: of
every model that it names it meets the current tenant's rows alone, and row-level security stands behind that as ever.
Rows are tuples with names; nothing is watched for changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from core.data.models import TenantModel, db
from core.data.tenancy import current_tenant
from core.data.unit import current_unit

TENANT = "pegboard_tenant"


class Prepared:
    """A select, update or delete of these models, kept to one tenant. ``TypeError`` when it names another table."""

    def __init__(self, statement: Any, *models: type[TenantModel]) -> None:
        named = {model.__tablename__ for model in models}
        used = set(_tables(statement))
        if used != named or not named:
            told = ", ".join(sorted(used)) or "none"
            raise TypeError(f"the statement is of the tables {told}: name exactly their models, so that each is fenced")
        if any(isinstance(each, sa.SelectBase) and each is not statement for each in visitors.iterate(statement)):
            raise TypeError("a subquery would not be fenced: join its model instead")
        mine = sa.bindparam(TENANT, type_=sa.Uuid())
        self._statement = statement.where(*(model.tenant_id == mine for model in models))

    def __call__(self, **parameters: Any) -> sa.CursorResult[Any]:
        """Run it in the current unit (``LookupError`` outside one), in the current tenant."""
        current_unit()
        db.session.flush()
        connection = db.session.connection()
        return connection.execute(self._statement, {**parameters, TENANT: current_tenant().id})


def _tables(statement: Any) -> Iterator[str]:
    """The name of every table that the statement reads or writes, as far down as it goes."""
    parts = [statement, *getattr(statement, "_returning", ())]
    for element in (found for part in parts for found in visitors.iterate(part)):
        table = element if isinstance(element, sa.Table) else getattr(element, "table", None)
        if isinstance(table, sa.Table):
            yield table.name
