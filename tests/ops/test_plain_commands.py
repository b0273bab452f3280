"""What a store refuses is told in a line by every command, a plugin's too; a mistake of ours keeps its traceback."""

from __future__ import annotations

import psycopg.errors
import pytest
import sqlalchemy as sa
from forked_boots import apart, flask
from redis.exceptions import ConnectionError as RedisAway

from core.errors import CONFLICT, BootError, Refused
from core.ops.plainly import explain

AWAY = {"DATABASE_URL": "postgresql://x:y@127.0.0.1:1/z", "PLUGINS": "auth"}


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("command", ["audit verify", "secrets rotate --dry-run", "auth admin a@example.com"])
def test_a_database_that_is_away_is_told_in_a_line(command: str) -> None:
    status, said = apart(flask, environ=AWAY, words=command.split())
    assert (status, said.count("Traceback")) == (1, 0)
    last = said.splitlines()[-1]
    assert last.startswith("Error: The database is not reachable: connection failed: ")
    assert last.endswith("; see that its server runs, and DATABASE_URL")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (
            BootError("DATABASE_URL's role is a superuser; use another"),
            "DATABASE_URL's role is a superuser; use another",
        ),
        (Refused(CONFLICT, "that name is taken"), "that name is taken"),
        (RedisAway("Error 111"), "Redis is not reachable: Error 111; see that its server runs, and REDIS_URL"),
        (
            sa.exc.ProgrammingError("select 1", {}, psycopg.errors.InsufficientPrivilege("permission denied\nDETAIL")),
            "The database refuses: permission denied; `flask db upgrade` grants DATABASE_URL's role what it needs",
        ),
        (
            sa.exc.OperationalError("select 1", {}, psycopg.errors.LockNotAvailable("canceling statement")),
            "Too busy at the moment: canceling statement; run the command again",
        ),
        (sa.exc.ProgrammingError("selec 1", {}, psycopg.errors.SyntaxError("syntax error")), None),
        (KeyError("a mistake"), None),
    ],
)
def test_what_is_told_and_what_keeps_its_traceback(raised: Exception, told: str | None) -> None:
    assert explain(raised) == told
