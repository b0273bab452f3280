"""`flask db locks`: three sessions in a row, a dead server, and nobody at all; `flask db upgrade --dry-run`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from click.testing import Result
from flask import Flask
from throwaway import eventually

from core.ops import db
from core.ops.testbed import TestServers


def asked(make_board: Callable[..., Flask], *words: str) -> Result:
    """What `flask db …` says."""
    return make_board("cli").test_cli_runner().invoke(db.group, list(words))


@pytest.fixture
def cli(make_board: Callable[..., Flask], board: Flask) -> Callable[..., Result]:
    return lambda *words: asked(make_board, *words)


@pytest.fixture
def queue(servers: TestServers, superuser: psycopg.Connection[Any]) -> Iterator[list[int]]:
    """Three sessions, each of which waits for the one before: their process ids, the one at the head first."""
    sessions = [psycopg.connect(servers.database_url, application_name=f"pegboard-web-{number}") for number in range(3)]
    sessions[0].execute("lock table shelf_books in share mode")
    waiting = "select count(*) from pg_locks where not granted and pid = %s"
    threads = []
    for session, mode in zip(sessions[1:], ("access exclusive", "access share"), strict=True):
        threads.append(threading.Thread(target=session.execute, args=(f"lock table shelf_books in {mode} mode",)))
        threads[-1].start()
        pid = session.info.backend_pid
        eventually(lambda pid=pid: superuser.execute(waiting, (pid,)).fetchone() == (1,))
    yield [session.info.backend_pid for session in sessions]
    sessions[0].rollback()
    threads[0].join(20)
    sessions[1].rollback()
    threads[1].join(20)
    for session in sessions:
        session.close()


def test_who_waits_for_whom(cli: Callable[..., Result], queue: list[int]) -> None:
    said = cli("locks")
    assert said.exit_code == 0, said.output
    lines = said.output.splitlines()
    assert [line.split()[0] for line in lines] == [str(pid) for pid in queue]
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 4]
    assert "pegboard-web-0" in lines[0] and "idle in transaction" in lines[0] and "waits" not in lines[0]
    assert "waits for AccessExclusiveLock on shelf_books" in lines[1]
    data = json.loads(cli("locks", "--json").output)
    assert [(row["pid"], row["waits_for"]) for row in data][:2] == [(queue[0], []), (queue[1], [queue[0]])]


def test_nobody_waits(cli: Callable[..., Result]) -> None:
    assert cli("locks").output == "nobody waits for anybody\n"
    assert cli("locks", "--json").output == "[]\n"


def test_a_dead_server_is_told_in_a_line(make_board: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@127.0.0.1:9/none")
    said = asked(make_board, "locks")
    assert said.exit_code == 1 and "hush" not in said.output
    assert said.output.startswith("Error: PostgreSQL did not answer: ") and said.output.count("\n") == 1


def test_a_dry_run_applies_nothing(cli: Callable[..., Result], superuser: psycopg.Connection[Any]) -> None:
    assert cli("upgrade", "--dry-run").output == "nothing to do\n"
    (head,) = superuser.execute("select version_num from commerce_alembic_version").fetchone() or ("",)
    at = "update commerce_alembic_version set version_num = %s"
    superuser.execute(at, ("0001",))
    try:
        assert cli("upgrade", "--dry-run").output.startswith("would be applied: commerce 0002 ")
        assert superuser.execute("select version_num from commerce_alembic_version").fetchone() == ("0001",)
    finally:
        superuser.execute(at, (head,))
