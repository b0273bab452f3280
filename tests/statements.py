"""What statements a piece of a test makes the board send, whichever way they take to the driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from flask import Flask

from core.data import db
from core.data.roundtrip import ask


@contextmanager
def statements(app: Flask) -> Iterator[list[str]]:
    """The text of each, parameters apart, in the order in which they are sent."""
    seen: list[str] = []
    with app.app_context():
        dialect: Any = db.engine.dialect
    execute = dialect.do_execute

    def noted(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        seen.append(statement)
        execute(cursor, statement, parameters, context)

    def asked(connection: Any, info: Any, statement: str, values: Any, *, keep: bool) -> Any:
        seen.append(statement)
        return ask(connection, info, statement, values, keep=keep)

    with patch.object(dialect, "do_execute", noted), patch("core.data.reads.ask", asked):
        yield seen
