"""Refuses a migration that would lock a large table for as long as the table is long, unless it says how.

Every statement that a revision sends is looked at before it runs. The forms below hold a strong lock while PostgreSQL
reads or rewrites the whole table: nothing can be written meanwhile, and mostly nothing read. On a small table that is
over at once; on a large one the script says ``locks = {"<table>": "<how: a window, what it took elsewhere>"}``, or does
it another way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event

from core.data.migrations.connection import MigrationError

MANY_ROWS = 100_000
MANY_BYTES = 64 * 1024 * 1024

NAME = r'(?:only\s+)?(?:if\s+exists\s+)?((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)'
ALTER = rf"alter\s+table\s+{NAME}\s.*?"
CONCURRENTLY = "create it CONCURRENTLY, within `with op.get_context().autocommit_block():`"


class Form(NamedTuple):
    """A kind of statement: how it begins, what it does, what waits for it, and how it is done without."""

    pattern: re.Pattern[str]
    what: str
    blocks: str
    cure: str


def _form(pattern: str, what: str, blocks: str, cure: str) -> Form:
    return Form(re.compile(rf"\s*{pattern}", re.IGNORECASE | re.DOTALL), what, blocks, cure)


ALL, WRITES = "all reads and writes", "all writes"
FORMS = (
    _form(
        rf"create\s+(?:unique\s+)?index\s+(?!concurrently)(?:if\s+not\s+exists\s+)?(?:\S+\s+)?on\s+{NAME}",
        "creates an index",
        WRITES,
        CONCURRENTLY,
    ),
    _form(
        rf"reindex\s+(?:\([^)]*\)\s*)?table\s+(?!concurrently){NAME}",
        "makes all its indexes anew",
        WRITES,
        "write REINDEX TABLE CONCURRENTLY, within `with op.get_context().autocommit_block():`",
    ),
    _form(
        rf"{ALTER}add\s+(?:constraint\s+\S+\s+)?(?:check\s*\(|foreign\s+key)(?!.*\bnot\s+valid\b)",
        "checks every row against a new constraint",
        ALL,
        "add it NOT VALID, then `alter table … validate constraint …` in a migration of its own",
    ),
    _form(
        rf"{ALTER}add\s+(?:constraint\s+\S+\s+)?(?:unique|primary\s+key|exclude)(?!\s+using\s+index)",
        "builds an index for a new constraint",
        ALL,
        "create a unique index CONCURRENTLY, then `add constraint … unique using index …`",
    ),
    _form(
        rf"{ALTER}alter\s+(?:column\s+)?\S+\s+set\s+not\s+null",
        "looks for a null in every row",
        ALL,
        "add `check (… is not null) not valid`, validate it, set not null, and drop the check: say so in `locks`",
    ),
    _form(
        rf"{ALTER}alter\s+(?:column\s+)?\S+\s+(?:set\s+data\s+)?type\s",
        "may rewrite every row",
        ALL,
        "add a column, fill it in batches, and let the next release use it",
    ),
    _form(
        rf"{ALTER}add\s+(?:column\s+)?(?:if\s+not\s+exists\s+)?\S+\s.*?(?:generated\s+always\s+as\s*\(|\bserial\b|"
        r"generated\s+(?:always|by\s+default)\s+as\s+identity|default\s+[^,]*(?:random|clock_timestamp|uuid|nextval)\S*\()",
        "writes every row",
        ALL,
        "add it without a default and nullable, and fill it in batches",
    ),
    _form(rf"{ALTER}set\s+(?:tablespace|logged|unlogged)", "rewrites the table", ALL, "do it in a window"),
    _form(rf"cluster\s+{NAME}", "rewrites the table", ALL, "do it in a window"),
    _form(
        rf"update\s+{NAME}(?!.*\bwhere\b)", "writes every row", "writes to every row", "do it in batches, with WHERE"
    ),
    _form(
        rf"delete\s+from\s+{NAME}(?!.*\bwhere\b)", "deletes every row", "writes to every row", "TRUNCATE, or batches"
    ),
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TEXT = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)


@contextmanager
def watched(
    connection: sa.Connection,
    where: Callable[[], str],
    reasons: Callable[[], Mapping[str, Any]],
    say: Callable[[str], None],
) -> Iterator[None]:
    """Look at each statement of a connection. ``reasons`` answers the ``locks`` of the script that runs.

    Raises ``MigrationError`` in place of running one that is not to be run.
    """

    def look(conn: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        for form, table in forms(statement):
            size = _large(cursor, table)
            if size is None:
                continue
            reason = str(reasons().get(table.rpartition(".")[2].strip('"')) or "").strip()
            if not reason:
                raise MigrationError(_refusal(where(), form, table, size))
            say(f"{table} ({size}): {form.what}; {reason}")

    event.listen(connection, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", look)


def forms(statement: str) -> Iterator[tuple[Form, str]]:
    """Each part of a statement that has one of the forms, with its table. What texts and functions say is no part."""
    for part in _TEXT.sub("''", _COMMENT.sub(" ", statement)).split(";"):
        for form in FORMS:
            if found := form.pattern.match(part):
                yield form, found[1]
                break


def _refusal(where: str, form: Form, table: str, size: str) -> str:
    bare = table.rpartition(".")[2].strip('"')
    return (
        f"{where}: a statement {form.what} in {table} ({size}) and holds up {form.blocks} until it is done;"
        f" nothing of it was applied. Without that: {form.cure}. Or let the script say how it is done:"
        f' locks = {{"{bare}": "in the window on Sunday; it took 40 s on a copy"}}'
    )


def _large(cursor: Any, table: str) -> str | None:
    """The size of a table in words; ``None`` where it is small, or not there yet."""
    with cursor.connection.cursor() as own:
        own.execute(
            "select reltuples::bigint, pg_relation_size(oid) from pg_class where oid = to_regclass(%s)", (table,)
        )
        row = own.fetchone()
    if row is None or (row[0] < MANY_ROWS and row[1] < MANY_BYTES):
        return None
    rows = f"{row[0]:,} rows, " if row[0] >= 0 else ""
    return f"{rows}{row[1] / 1024 / 1024:,.0f} MiB"
