"""Whether the database is behind this release: a process may have started before ``flask db upgrade`` had run.

Nothing but that command migrates. A process that finds the tables missing says so (503 MIGRATIONS_PENDING), jobs wait,
and all go on by themselves once they are there.
"""

from __future__ import annotations

import re
from functools import lru_cache

from flask import current_app, has_app_context

from core.data.migrations.history import History, of_board, of_plugin, read_versions
from core.data.models import db

_REVISION = re.compile(r"^(down_)?revision\b[^=\n]*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


def pending() -> list[str]:
    """Names of the histories whose last revision this database has not seen.

    One that is at a revision unknown here is ahead: a newer release has migrated it, and this is a process of the old.
    Reads the scripts as text: Alembic would cost each process its memory for one comparison.
    """
    plugins = (entry.plugin for entry in current_app.extensions["pegboard.registry"].on)
    histories = [of_board(), *(of_plugin(plugin.name, plugin.package) for plugin in plugins)]
    with db.engine.connect() as connection:
        versions = read_versions(connection, histories)
    return [each.name for each in histories if _lacks(each, versions.at.get(each.name, set()))]


def is_behind() -> bool:
    """``pending()`` for whoever is in trouble already: False where it cannot be told."""
    try:
        return has_app_context() and bool(pending())
    except Exception:  # the caller's own fault is the one that counts
        return False


def _lacks(history: History, at: set[str]) -> bool:
    known, heads = _revisions(history)
    return at <= known and not heads <= at


@lru_cache(maxsize=256)
def _revisions(history: History) -> tuple[set[str], set[str]]:
    """All revisions, and those that no other builds upon; none where a plugin has no migrations."""
    found: set[str] = set()
    built_upon: set[str] = set()
    for script in history.versions.glob("*.py"):
        for down, revision in _REVISION.findall(script.read_text()):
            (built_upon if down else found).add(revision)
    return found, found - built_upon
