"""The one Alembic environment, for every history: `flask db` hands it a connection and says whose tables it is for."""

from __future__ import annotations

from alembic import context

attributes = context.config.attributes
if "connection" not in attributes:
    raise SystemExit("run migrations with `flask db`, which knows the order, the lock and the fences")

context.configure(connection=attributes["connection"], **attributes["options"])
with context.begin_transaction():
    context.run_migrations()
