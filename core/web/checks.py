"""What ``/readyz`` asks on every board: the three stores, the outbox's backlog, and whether migrations are pending."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from flask import current_app

from core.data import documents, redis
from core.data.migrations.history import History, of_board, of_plugin, read_versions
from core.data.models import db
from core.data.outbox import OutboxRow
from core.data.tenancy import bypass
from core.data.unit import unit

_REVISION = re.compile(r"^(down_)?revision\b[^=\n]*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


def database() -> None:
    with unit():
        db.session.execute(sa.text("select 1"))


def redis_server() -> None:
    redis.client().ping()


def document_store() -> None:
    documents.ping()


def outbox() -> dict[str, Any]:
    """Jobs that no queue has taken yet, and the age in seconds of the oldest that is due."""
    due = sa.func.coalesce(OutboxRow.due_at, OutboxRow.created_at)
    age = sa.func.extract("epoch", sa.func.now() - sa.func.min(due))
    with bypass("outbox sweep"), unit():
        waiting, oldest = db.session.execute(sa.select(sa.func.count(), age).where(due <= sa.func.now())).one()
    return {"waiting": waiting, "oldest_seconds": round(float(oldest or 0), 1)}


def migrations() -> dict[str, Any]:
    """Names of the histories whose last revision this database has not seen.

    Reads the scripts as text: Alembic would cost each web process its memory for one comparison.
    """
    plugins = (entry.plugin for entry in current_app.extensions["pegboard.registry"].on)
    histories = [of_board(), *(of_plugin(plugin.name, plugin.package) for plugin in plugins)]
    with db.engine.connect() as connection:
        versions = read_versions(connection, histories)
    return {"pending": [each.name for each in histories if not _heads(each) <= versions.at.get(each.name, set())]}


@lru_cache(maxsize=256)
def _heads(history: History) -> set[str]:
    """Revisions that no other builds upon; none where a plugin has no migrations."""
    found: set[str] = set()
    built_upon: set[str] = set()
    for script in history.versions.glob("*.py"):
        for down, revision in _REVISION.findall(script.read_text()):
            (built_upon if down else found).add(revision)
    return found - built_upon


Checks = dict[str, Callable[[], dict[str, Any] | None]]

STORES: Checks = {"database": database, "redis": redis_server, "documents": document_store}
IN_DATABASE: Checks = {"outbox": outbox, "migrations": migrations}
