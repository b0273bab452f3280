"""Where models, migrations and database have drifted apart: written down as a new revision, or told as faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.data.migrations.autogenerate import differences, options
from core.data.migrations.connection import MigrationError, explained
from core.data.migrations.history import read_versions
from core.data.migrations.roles import ownership_faults
from core.data.migrations.rules import table_faults
from core.data.migrations.runner import Migrations
from core.data.migrations.scripts import configure, missing, next_revision, standing


def write_revision(board: Migrations, name: str, message: str, *, empty: bool = False) -> Path:
    """Write the next revision of one history: what models and tables differ in, or an ``empty`` one to fill in."""
    from alembic import command

    history = board.find(name)
    scripts = board.scripts(history)

    def refuse_nothing(context: Any, revision: Any, directives: list[Any]) -> None:
        if not empty and directives[0].upgrade_ops.is_empty():
            raise MigrationError(f"{name}: models and tables agree, so there is nothing to write (or use --empty)")

    hook = {"process_revision_directives": refuse_nothing}
    with board.engine() as made, made.connect() as connection:
        if not empty:
            found = standing(history, scripts, read_versions(connection, [history]))
            if found.behind or found.unknown:
                raise MigrationError(str(found))
            connection.rollback()
        settings = configure(history, connection, **options(history, board.metadata), **hook)
        with explained(lambda: name, board.settings):
            written: Any = command.revision(
                settings,
                message,
                autogenerate=not empty,
                rev_id=next_revision(scripts),
                version_path=str(history.versions),
            )
    path = Path(written.path)
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "# ###" not in line))
    return path


def faults(board: Migrations) -> list[str]:
    """What breaks the rules for tables, what has not been applied, and what no migration says yet; one line each."""
    names = [history.name for history in board.histories]
    found = table_faults(board.metadata, names)
    with board.engine() as made, made.connect() as connection:
        found += ownership_faults(connection, names)
        versions = read_versions(connection, board.histories)
        for history in board.histories:
            try:
                scripts = board.scripts(history)
            except MigrationError as exc:
                found.append(str(exc))
                continue
            stands = standing(history, scripts, versions)
            fault = missing(history, scripts, board.metadata)
            if fault:
                found.append(fault)
            elif stands.behind or stands.unknown:
                found.append(str(stands))
            else:
                lines = differences(connection, history, board.metadata)
                found += [f"{history.name}: models and migrations differ: {line}" for line in lines]
    return found
