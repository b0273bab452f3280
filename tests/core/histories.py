"""A scratch database with roles of its own, and migration histories written into a folder, for tests of migrations."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from flask import Flask
from psycopg import sql

from core.data.migrations import Migrations
from core.data.migrations.history import History
from core.data.models import NAMING
from core.ops.testbed import TestServers, with_path

ROOT = Path(__file__).resolve().parents[2]
ALPHA, BETA = "00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b"


@dataclasses.dataclass
class Database:
    """Addresses of one database as its tables' owner, as the app's own role and as a superuser."""

    owner_url: str
    app_url: str
    superuser_url: str
    owner_role: str
    app_role: str

    def rows(self, query: str, url: str | None = None) -> list[Any]:
        with psycopg.connect(url or self.superuser_url, autocommit=True) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def tables(self) -> set[str]:
        return {row[0] for row in self.rows("select tablename from pg_tables where schemaname = 'public'")}


@contextmanager
def scratch_database(servers: TestServers) -> Iterator[Database]:
    """A database, an owner for its tables and a role for the app; all gone afterwards."""
    with psycopg.connect(servers.superuser_url, autocommit=True) as admin:
        name = f"{admin.info.dbname}_migrations"
        owner, app = f"{name}_owner", f"{name}_app"

        def clear() -> None:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
            for role in (owner, app):
                admin.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(role)))

        clear()
        for role in (owner, app):
            admin.execute(sql.SQL("create role {} login password 'plain'").format(sql.Identifier(role)))
        admin.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(owner)))
        superuser_url = with_path(servers.superuser_url, name)
        at = f"{admin.info.host}:{admin.info.port}/{name}"
        yield Database(f"postgresql://{owner}:plain@{at}", f"postgresql://{app}:plain@{at}", superuser_url, owner, app)
        clear()


@contextmanager
def emptied(database: Database) -> Iterator[Database]:
    """The database without a table, inside the app context that commands want."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("drop owned by current_user cascade")
    with psycopg.connect(database.superuser_url, autocommit=True) as admin:
        admin.execute("drop schema if exists public cascade")
        admin.execute(sql.SQL("create schema public authorization {}").format(sql.Identifier(database.owner_role)))
    with Flask("operator").app_context():
        yield database


@dataclasses.dataclass
class Shelf:
    """A folder of histories; ``said`` is what the commands told the operator."""

    folder: Path
    url: str
    names: list[str] = dataclasses.field(default_factory=list)
    metadata: sa.MetaData = dataclasses.field(default_factory=lambda: sa.MetaData(naming_convention=NAMING))
    said: list[str] = dataclasses.field(default_factory=list)

    def script(
        self, name: str, revision: str, body: str, *, back: str = "pass", after: str | None = None, head: str = ""
    ) -> None:
        """Write one revision by hand; it follows the one numbered before it."""
        if name not in self.names:
            self.names.append(name)
        before = after or (f"{int(revision) - 1:04d}" if int(revision) > 1 else None)
        folder = self.folder / name / "migrations" / "versions"
        folder.mkdir(parents=True, exist_ok=True)
        text = f'''"""step {revision}"""
import pathlib, time
import sqlalchemy as sa
from alembic import op
from core.data.migrations import fence
revision, down_revision = {revision!r}, {before!r}
HERE = pathlib.Path({str(self.folder)!r})
{head}
def upgrade():
{textwrap.indent(textwrap.dedent(body).strip(), "    ")}
def downgrade():
{textwrap.indent(textwrap.dedent(back).strip(), "    ")}
'''
        (folder / f"{revision}_{len(list(folder.glob('*.py')))}.py").write_text(text)

    def table(self, name: str, revision: str = "0001") -> None:
        self.script(name, revision, f"op.execute('create table {name}_t{int(revision)} (id int)')",
                    back=f"op.execute('drop table {name}_t{int(revision)}')")  # fmt: skip

    def board(self, *names: str, **more: Any) -> Migrations:
        chosen = [History(name, self.folder / name / "migrations" / "versions") for name in names or self.names]
        more = {"metadata": self.metadata, "say": self.said.append, **more}
        return Migrations(chosen, more.pop("url", self.url), **more)

    def process(self) -> subprocess.Popen[str]:
        """An upgrade of every history in a process of its own."""
        code = f"""
from flask import Flask
from pathlib import Path
import sqlalchemy as sa
from core.data.migrations import Migrations
from core.data.migrations.history import History
chosen = [History(name, Path({str(self.folder)!r}) / name / "migrations" / "versions") for name in {self.names!r}]
with Flask("operator").app_context():
    for step in Migrations(chosen, {self.url!r}, metadata=sa.MetaData()).upgrade():
        print(step.history, step.revision)
"""
        return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def last(statements: str, url: str) -> Any:
    """What the last of several statements answers."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statements)  # type: ignore[arg-type]
        while cursor.nextset():
            pass
        return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]


def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def tenant_table(metadata: sa.MetaData, name: str, *more: Any) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String(50), nullable=False),
        *more,
        sa.UniqueConstraint("tenant_id", "id"),
    )
