"""Only ``flask db upgrade`` migrates: what starts before it has run says so, waits, and goes on by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from flask import Flask
from fleet import ask_once, eventually

from core.data.migrations import behind, upgrade
from core.ops.processes import ROOT, Process
from core.ops.testbed import TestServers, with_path

StartProcess = Callable[..., Process]
REGISTER = b'{"email": "alice@example.com", "password": "correct horse battery", "display_name": "Alice"}'


@pytest.fixture
def bare(servers: TestServers) -> Iterator[dict[str, str]]:
    """An empty database of the same role."""
    name = "bare_" + urlsplit(servers.database_url).path.removeprefix("/")
    role = urlsplit(servers.database_url).username
    with psycopg.connect(servers.superuser_url, autocommit=True) as admin:
        admin.execute(f'drop database if exists "{name}" with (force)')
        admin.execute(f'create database "{name}" owner "{role}"')
        yield {"DATABASE_URL": with_path(servers.database_url, name)}
        admin.execute(f'drop database "{name}" with (force)')


def flask(*words: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flask", *words],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_processes_start_on_an_unmigrated_database_and_wait(process: StartProcess, bare: dict[str, str]) -> None:
    web, worker = process("web", **bare), process("worker", **bare)

    status, said = ask_once(web.url, "/readyz")
    ready = json.loads(said)
    assert (status, ready["status"]) == (200, "degraded")
    assert {"core", "auth", "shelf"} <= set(ready["checks"]["migrations"]["facts"]["pending"])

    status, said = ask_once(web.url, "/api/auth/register", REGISTER)
    assert (status, json.loads(said)["code"]) == (503, "MIGRATIONS_PENDING")
    assert json.loads(said)["detail"] == "flask db upgrade has not run yet"
    assert ask_once(web.url, "/openapi.json")[0] == 200, "what needs no table is served"
    with psycopg.connect(bare["DATABASE_URL"]) as look:
        tables = look.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
    assert tables == (0,), "nobody but flask db upgrade makes tables"

    flask("db", "upgrade", **bare)
    assert ask_once(web.url, "/api/auth/register", REGISTER)[0] == 201
    eventually(lambda: "job done" in worker.log())
    eventually(lambda: json.loads(ask_once(web.url, "/readyz")[1])["status"] == "ready")
    for one in (web, worker):
        assert one.stop() == 0
        assert "Traceback" not in one.log(), one.log()


def test_a_process_of_the_old_release_is_not_told_to_migrate(
    bare: dict[str, str], make_board: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """During a release the new migrations have run and the old processes still serve: for them nothing is pending."""
    monkeypatch.setenv("DATABASE_URL", bare["DATABASE_URL"])
    app = make_board("cli")
    with app.app_context():
        assert {"core", "auth", "shelf"} <= set(behind.pending())
        assert behind.is_behind()
        upgrade()
        assert behind.pending() == []
        with psycopg.connect(bare["DATABASE_URL"]) as admin:
            admin.execute("update shelf_alembic_version set version_num = 'of the next release'")
        assert behind.pending() == []
