"""Where boards are made ill: a production board on the test servers that is well until a test plants a fault in it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from core.data import redis
from core.ops.budget import ONE_OF_EACH, Formation
from core.ops.doctor import examination
from core.ops.doctor.admission import invalid, patient
from core.ops.doctor.findings import PLATFORMS, Finding
from core.ops.testbed import TestServers

STRONG = [secrets.token_urlsafe(48) for _ in range(4)]

WELL = {
    "APP_ENV": "production",
    "SECRET_KEYS": STRONG[0],
    "METRICS_TOKEN": STRONG[1],
    "API_URL": "https://board.example.com",
    "CLIENT_URL": "https://app.example.com",
    "TRUSTED_PROXIES": "1",
    "DATABASE_POOL": "5",
}


class Ward:
    """One board; ``environ`` is its environment, ``look`` sends it to the doctor."""

    def __init__(self, servers: TestServers, folder: Path, superuser: Any, patch: pytest.MonkeyPatch) -> None:
        self.servers = servers
        self.superuser: psycopg.Connection[Any] = superuser
        self.patch = patch
        self.folder = folder
        stores = ("DATABASE_URL", "REDIS_URL", "MONGODB_URI")
        self.environ = {**WELL, "INSTANCE_DIR": str(folder)}
        self.environ |= {name: getattr(servers, name.lower()) for name in stores}
        self.formation = ONE_OF_EACH
        self.app: Flask = invalid([])

    def plant(self, **environ: str) -> None:
        self.environ |= environ

    def start(self, make: Callable[..., Flask]) -> None:
        """Let the board start, for topics that want a running one."""
        for name in PLATFORMS:
            self.patch.delenv(name, raising=False)
        for name, value in self.environ.items():
            self.patch.setenv(name, value)
        self.app = make("cli")

    def look(self, *topics: str, formation: Formation | None = None) -> dict[str, Finding]:
        """What is not well, by ``topic.check``."""
        found = self.all(*topics, formation=formation)
        return {each.name: each for each in found if each.severity != "ok"}

    def all(self, *topics: str, formation: Formation | None = None) -> list[Finding]:
        chosen = {name: examination.TOPICS[name] for name in topics or examination.TOPICS}
        return examination.examine(patient(self.app, self.environ, formation or self.formation), chosen)


@contextmanager
def undone(superuser: psycopg.Connection[Any], do: str, undo: str) -> Iterator[None]:
    superuser.execute(do)  # type: ignore[arg-type]
    try:
        yield
    finally:
        superuser.execute(undo)  # type: ignore[arg-type]


def note_duties(app: Flask, name: str = "core.outbox_sweep", late: timedelta = timedelta(0), error: Any = None) -> None:
    """As if the duty had last run so long ago."""
    now = (datetime.now(UTC) - late).isoformat()
    told = {"started": now, "ended": now, "next": now, "error": error}
    with app.app_context():
        redis.client().hset(redis.board_key("core", "duties"), name, json.dumps(told))
