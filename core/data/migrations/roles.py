"""Database roles: what the app's own role may be, and what it is given when another role owns the tables.

With ``MIGRATION_DATABASE_URL`` the app's role owns nothing: it reads and writes rows, and cannot change a table, lift a
fence or touch a version table.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from core.data.migrations.connection import MigrationError

VERSIONS = "_alembic_version"
ROWS = "select, insert, update, delete"

_OURS = """
    from pg_class c join pg_roles r on r.rolname = :role
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p', 'S')
      and split_part(c.relname, '_', 1) = any(:owners)
"""
_IS_VERSIONS = f"right(c.relname, {len(VERSIONS)}) = '{VERSIONS}'"

# Whether something is still to be granted, or still to be taken back, for tables of :owners.
LACKS = f"""
    select 1 {_OURS} and c.relkind <> 'S' and case when {_IS_VERSIONS}
        then not has_table_privilege(r.oid, c.oid, 'select') or has_table_privilege(r.oid, c.oid, 'insert')
        else not (has_table_privilege(r.oid, c.oid, 'select') and has_table_privilege(r.oid, c.oid, 'insert')
             and has_table_privilege(r.oid, c.oid, 'update') and has_table_privilege(r.oid, c.oid, 'delete')) end
"""


def role_faults(connection: sa.Connection) -> list[str]:
    """Why production must not run as this connection's role: one line a fault, none for a plain role."""
    query = "select rolname, rolsuper, rolbypassrls from pg_roles where rolname = current_user"
    name, superuser, bypasses = connection.execute(sa.text(query)).one()
    powers = [power for held, power in ((superuser, "a superuser"), (bypasses, "BYPASSRLS")) if held]
    return [
        f"DATABASE_URL's role {name!r} is {power}, which no row-level security holds: use a plain role"
        " (create role … login, without superuser and bypassrls)"
        for power in powers
    ]


def ownership_faults(connection: sa.Connection, owners: Sequence[str]) -> list[str]:
    """Tables of ``owners`` (table prefixes) that belong to another role than this one, so that it cannot alter them."""
    me = connection.scalar(sa.text("select current_user"))
    found = connection.execute(
        sa.text(f"select c.relname, pg_get_userbyid(c.relowner) {_OURS} and c.relowner <> r.oid order by 1"),
        {"role": me, "owners": list(owners)},
    )
    return [
        f"table {table}: belongs to {owner}, not to MIGRATION_DATABASE_URL's role; as a superuser in this database:"
        f" reassign owned by {owner} to {me}"
        for table, owner in found
    ]


def grant(connection: sa.Connection, role: str, owners: Sequence[str]) -> None:
    """Let ``role`` use the tables and sequences of ``owners`` (table prefixes), and those that are made later."""
    quote = connection.dialect.identifier_preparer.quote
    schema = quote(connection.scalar(sa.text("select current_schema()")))
    to = quote(role)
    found = connection.execute(
        sa.text(f"select c.relname, c.relkind = 'S', {_IS_VERSIONS} {_OURS} order by 1"),
        {"role": role, "owners": list(owners)},
    ).all()
    statements = [
        f"grant usage on schema {schema} to {to}",
        f"alter default privileges in schema {schema} grant {ROWS} on tables to {to}",
        f"alter default privileges in schema {schema} grant usage on sequences to {to}",
    ]
    for name, is_sequence, is_versions in found:
        thing = f"{schema}.{quote(name)}"
        if is_sequence:
            statements.append(f"grant usage on sequence {thing} to {to}")
        elif is_versions:
            statements += [f"revoke all on {thing} from {to}", f"grant select on {thing} to {to}"]
        else:
            statements.append(f"grant {ROWS} on {thing} to {to}")
    for statement in statements:
        connection.exec_driver_sql(statement)
    # PostgreSQL only warns when it grants nothing.
    if not connection.scalar(sa.text("select has_schema_privilege(:role, current_schema(), 'usage')"), {"role": role}):
        raise MigrationError(
            f"{role} cannot look into the schema, which is not this role's to share; as its owner:"
            f" grant usage on schema {schema} to {to}"
        )
