"""A fenced read in one round trip: the tenant and the select go out together, and PostgreSQL takes them for one
transaction.

In libpq's pipeline mode whatever is sent before a sync is one implicit transaction
(https://www.postgresql.org/docs/current/libpq-pipeline-mode.html), so neither ``begin`` nor ``commit`` is needed, and
the tenant, set for this transaction alone, is gone with it. psycopg's own pipelines cost more than they save here, so
this speaks to its ``psycopg.pq``; the waiting, the dumping and the loading are psycopg's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

from psycopg import OperationalError, errors, pq
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.waiting import Ready, Wait

from core.data.tenancy import FENCE, fence_values

_PARAMETER = re.compile(r"%\((\w+)\)s")
MOST_NAMES = 100
"""Statements that a connection keeps by name; past that they are planned anew each time."""


def numbered(statement: str) -> tuple[str, list[str]]:
    """A statement with ``$1``, ``$2`` … in place of ``%(name)s``, and the names in that order."""
    numbers: dict[str, str] = {}
    text = _PARAMETER.sub(lambda found: numbers.setdefault(found[1], f"${len(numbers) + 1}"), statement)
    return text.replace("%%", "%"), list(numbers)


class Names:
    """The statements that a connection has prepared for us, by their text."""

    def __init__(self) -> None:
        self.by_text: dict[str, bytes] = {}
        self._given = 0

    def new(self, text: str) -> bytes:
        """A name that this connection has never had."""
        self._given += 1
        name = self.by_text[text] = b"pb_%d" % self._given
        return name


def ask(connection: Any, info: dict[Any, Any], statement: str, values: Sequence[Any], *, keep: bool) -> Any:
    """The result (``psycopg.pq.PGresult``) of a select with ``$n`` for ``values``, in the current tenant.

    ``info`` is of this connection and lives as long; with ``keep`` it names the statement, so that it is planned once.
    Raises psycopg's errors; the connection is then as clean as it was, unless it is broken.
    """
    given = Transformer(connection).dump_sequence(values, [PyFormat.TEXT] * len(values))
    names: Names = info.setdefault(Names, Names())
    try:
        return _asked(connection, names, [(FENCE, fence_values(), True), (statement, given, keep)])
    except (errors.InvalidSqlStatementName, errors.FeatureNotSupported):
        # psycopg deallocates everything after a rollback; a plan outlives no change of its columns' types.
        names.by_text.clear()
        connection.execute("deallocate all")
        return _asked(connection, names, [(FENCE, fence_values(), True), (statement, given, keep)])


def at_rest(connection: Any) -> bool:
    """Whether nothing is under way on a connection, and nothing of it unread."""
    pgconn = connection.pgconn
    return bool(
        pgconn.pipeline_status == pq.PipelineStatus.OFF and pgconn.transaction_status == pq.TransactionStatus.IDLE
    )


def _asked(connection: Any, names: Names, statements: Sequence[tuple[str, Sequence[Any], bool]]) -> Any:
    pgconn = connection.pgconn
    sent: list[str] = []  # for each message the text that it prepares, if it does
    pgconn.enter_pipeline_mode()
    for text, values, keep in statements:
        name = names.by_text.get(text)
        if name is None and keep and len(names.by_text) < MOST_NAMES:
            name = names.new(text)
            pgconn.send_prepare(name, text.encode())
            sent.append(text)
        if name is None:
            pgconn.send_query_params(text.encode(), values)
        else:
            pgconn.send_query_prepared(name, values)
        sent.append("")
    pgconn.pipeline_sync()
    results = connection.wait(_results(pgconn))
    with contextlib.suppress(OperationalError):
        pgconn.exit_pipeline_mode()
    for number, result in enumerate(results):
        if result.status == pq.ExecStatus.FATAL_ERROR:
            for text in sent[number:]:  # these were not prepared
                names.by_text.pop(text, None)
            raise errors.error_from_result(result, encoding=connection.info.encoding)
    if len(results) < len(sent) or pgconn.status != pq.ConnStatus.OK:
        raise OperationalError("the connection was lost")
    return results[-1]


def _results(pgconn: Any) -> PQGen[list[Any]]:
    """All results up to the sync, or up to where the connection ends."""
    while pgconn.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()
    found: list[Any] = []
    while True:
        while pgconn.is_busy():
            if (yield Wait.R):
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if pgconn.status != pq.ConnStatus.OK:
                return found
        elif result.status == pq.ExecStatus.PIPELINE_SYNC:
            return found
        else:
            found.append(result)
