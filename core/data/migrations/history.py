"""A migration history: the board's own, or a plugin's, with the version table that remembers how far it has come."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from core.data.migrations.roles import LACKS, VERSIONS

BOARD = "core"
ENVIRONMENT = Path(__file__).resolve().parents[3] / "migrations"


class History(NamedTuple):
    """``name`` is the prefix of its tables; ``versions`` the folder with its scripts."""

    name: str
    versions: Path

    @property
    def version_table(self) -> str:
        return f"{self.name}{VERSIONS}"

    def owns(self, table: str) -> bool:
        return table.startswith(f"{self.name}_") and not table.endswith(VERSIONS)


def of_board() -> History:
    return History(BOARD, ENVIRONMENT / "versions")


def of_plugin(name: str, package: str) -> History:
    """A plugin's history: ``migrations/versions`` in its package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"plugin {name}: {package} is not a package, so it cannot hold migrations")
    return History(name, Path(next(iter(spec.submodule_search_locations))) / "migrations" / "versions")


class Versions(NamedTuple):
    """Which revision each history is at (none: not in ``at``), and whether the app's role lacks something."""

    at: dict[str, set[str]]
    ungranted: bool = False


def read_versions(connection: sa.Connection, histories: Iterable[History], role: str | None = None) -> Versions:
    """One query over all version tables; a second and third only while some of them do not exist yet."""
    known = list(histories)
    try:
        return _read(connection, known, role)
    except sa.exc.ProgrammingError as exc:
        connection.rollback()
        if getattr(exc.orig, "sqlstate", None) != "42P01":
            raise
    tables = set(sa.inspect(connection).get_table_names())
    return _read(connection, [history for history in known if history.version_table in tables], role)


def _read(connection: sa.Connection, histories: list[History], role: str | None) -> Versions:
    # A plugin's name is plain lower-case letters and digits: the manifest sees to that.
    queries = [f"select '{each.name}', version_num from {each.version_table}" for each in histories]  # noqa: S608
    if role is not None:
        queries.append(f"(select '', 'ungranted' where exists ({LACKS}))")
    at: dict[str, set[str]] = {}
    if queries:
        names = {"role": role, "owners": [history.name for history in histories]} if role is not None else {}
        for name, version in connection.execute(sa.text(" union all ".join(queries)), names):
            at.setdefault(name, set()).add(version)
    ungranted = bool(at.pop("", None))
    return Versions(at, ungranted)


def orphans(connection: sa.Connection, histories: Iterable[History]) -> list[str]:
    """Names of histories that have a version table here and are not on this board: off, or uninstalled."""
    known = {history.version_table for history in histories}
    tables = sa.inspect(connection).get_table_names()
    return sorted(t.removesuffix(VERSIONS) for t in tables if t.endswith(VERSIONS) and t not in known)
