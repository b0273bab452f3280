"""One test worker's own databases on the shared servers: made, migrated, named in the environment, emptied."""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from flask import Flask
from psycopg import sql

KEPT = "alembic_version"
PASSWORD = "plain"


@dataclasses.dataclass(frozen=True)
class TestServers:
    """Addresses of one worker's own databases; ``superuser_url`` is the same database without any fence."""

    __test__ = False

    database_url: str
    superuser_url: str
    redis_url: str
    mongodb_uri: str

    def environ(self, secret_key: str, instance: str) -> dict[str, str]:
        """The environment of a board on these servers."""
        return {
            "APP_ENV": "development",
            "SECRET_KEYS": secret_key,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "MONGODB_URI": self.mongodb_uri,
            "INSTANCE_DIR": instance,
        }

    def migrate(self) -> None:
        from core.app import create_app
        from core.data.migrations import upgrade

        app = create_app("cli")
        with app.app_context():
            upgrade()
        let_go(app)


def let_go(app: Flask) -> None:
    """Close the database connections that a board in this process has pooled."""
    from core.data.models import db

    with app.app_context():
        db.engine.dispose()


def prepare(facts: dict[str, str], number: int) -> TestServers:
    """Make role and databases for worker ``number``; what an earlier run left is dropped."""
    name = f"pegboard_test_{number}"
    with psycopg.connect(facts["superuser_url"], autocommit=True) as admin:
        identifier = sql.Identifier(name)
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(identifier))
        admin.execute(sql.SQL("drop role if exists {}").format(identifier))
        admin.execute(sql.SQL("create role {} login password {}").format(identifier, PASSWORD))
        admin.execute(sql.SQL("create database {} owner {}").format(identifier, identifier))
    superuser_url = with_path(facts["superuser_url"], name)
    with psycopg.connect(superuser_url, autocommit=True) as admin:
        for extension in ("pg_trgm", "unaccent", "citext"):
            admin.execute(sql.SQL("create extension if not exists {}").format(sql.Identifier(extension)))
    host = urlsplit(superuser_url)
    return TestServers(
        database_url=f"postgresql://{name}:{PASSWORD}@{host.hostname}:{host.port}/{name}",
        superuser_url=superuser_url,
        redis_url=with_path(facts["redis_url"], str(number)),
        mongodb_uri=with_path(facts["mongodb_uri"], name),
    )


def with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


def empty_everything(servers: TestServers) -> None:
    """Leave no row, key or document behind; the schema stays."""
    with psycopg.connect(servers.superuser_url, autocommit=True) as admin:
        _truncate(admin)
    import redis

    with redis.Redis.from_url(servers.redis_url) as store:
        store.flushdb()
    _drop_documents(servers.mongodb_uri)


def _truncate(admin: psycopg.Connection[Any]) -> None:
    names = [
        row[0]
        for row in admin.execute(
            "select tablename from pg_tables where schemaname = 'public' and tablename not like %s", (f"%{KEPT}",)
        )
    ]
    if not names:
        return
    with admin.transaction():
        # Whoever is still writing is waited for. Most tables are empty already, and to truncate one takes milliseconds.
        admin.execute(sql.SQL("lock table {} in access exclusive mode").format(_listed(names)))
        row = sql.SQL("select {} where exists (select from {})")
        rows = sql.SQL(" union all ").join(row.format(name, sql.Identifier(name)) for name in names)
        if used := [name for (name,) in admin.execute(rows)]:
            # The audit log guards itself with triggers, which a replica's session does not fire.
            admin.execute("set local session_replication_role = replica")
            admin.execute(sql.SQL("truncate {} cascade").format(_listed(used)))


def _listed(names: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _drop_documents(uri: str) -> None:
    import pymongo

    client: pymongo.MongoClient[Any] = pymongo.MongoClient(uri, serverSelectionTimeoutMS=3000)
    with client as documents:
        database = documents.get_default_database()
        for name in database.list_collection_names():
            database[name].delete_many({})
