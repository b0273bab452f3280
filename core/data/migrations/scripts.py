"""A history's revision scripts, as Alembic reads them with Flask-Migrate's configuration, and how far a database is."""

from __future__ import annotations

import logging
import re
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from core.data.migrations.connection import MigrationError
from core.data.migrations.history import ENVIRONMENT, History, Versions
from core.data.models import db

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory


_NO_TEXT = re.compile(r"^(?:down_)?revision\b[^=\n]*=\s*(?![\"'(\[\s]|None\b)", re.MULTILINE)
_NO_REVISION = re.compile(r"Could not determine revision id from filename (\S+\.py)")


class Step(NamedTuple):
    """One revision of one history."""

    history: str
    revision: str
    about: str

    def __str__(self) -> str:
        return f"{self.history} {self.revision} {self.about}".rstrip()


class Standing(NamedTuple):
    """Where a history is: the database's revision and the scripts' last one; ``behind`` counts those to apply.

    ``unknown``: the database is at a revision that is not among the scripts; newer code has been here.
    """

    history: str
    at: str | None
    head: str | None
    behind: int
    unknown: bool

    def __str__(self) -> str:
        if self.unknown:
            return f"{self.history}: the database is at {self.at}, which this code does not have (newer code was here)"
        return f"{self.history}: the database is {self.behind} behind; run `flask db upgrade`"


def configure(history: History, connection: sa.Connection | None = None, **options: Any) -> Config:
    """Alembic's configuration for one history: the board's environment, this history's scripts."""
    from flask_migrate import Migrate

    logging.getLogger("alembic").setLevel(logging.WARNING)
    migrate = Migrate(db=db, directory=str(ENVIRONMENT))

    @migrate.configure
    def add(made: Config) -> Config:
        made.set_main_option("version_locations", str(history.versions).replace("%", "%%"))
        made.attributes.update(connection=connection, options=options)
        return made

    made: Config = migrate.get_config(opts=["quiet"])
    return made


def read_scripts(history: History) -> ScriptDirectory:
    """The scripts of a history, held to one line; ``MigrationError`` names one that cannot be read."""
    from alembic.script import ScriptDirectory

    with warnings.catch_warnings():
        # Alembic would keep one of two files with the same revision, or fail without a word, and say no more than this.
        warnings.filterwarnings("error", message="Revision .* is present more than once")
        warnings.filterwarnings("error", message="Revision .* referenced from .* is not present")
        try:
            scripts = ScriptDirectory.from_config(configure(history))
            heads = sorted(scripts.get_heads())
        except UserWarning as exc:
            twice = "more than once" in str(exc)
            cure = "renumber the later one" if twice else "correct its down_revision, or bring that script back"
            raise MigrationError(f"{history.name}: {exc} ({history.versions}); {cure}") from None
        except (Exception, SystemExit) as exc:
            raise MigrationError(f"{history.name}: {_unreadable(history, exc)}") from exc
    if len(heads) > 1:
        raise MigrationError(
            f"{history.name}: {' and '.join(heads)} both come last ({history.versions});"
            " set the down_revision of one to the other"
        )
    for script in scripts.walk_revisions():
        if not callable(getattr(script.module, "upgrade", None)):
            raise MigrationError(f"{history.name}: {script.path} has no upgrade(); define it, with what it changes")
    return scripts


def _unreadable(history: History, exc: BaseException) -> str:
    """Which script Alembic could not read, why, and the cure."""
    if named := _NO_REVISION.match(str(exc)):
        return f'{history.versions / named[1]} has no revision; say revision = "0001", and down_revision'
    told = f"{type(exc).__name__}: {exc}"
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{history.versions / exc.filename}, line {exc.lineno}: SyntaxError: {exc.msg}; correct it"
    own = [each for each in traceback.extract_tb(exc.__traceback__) if Path(each.filename).parent == history.versions]
    if own:
        return f"{own[-1].filename}, line {own[-1].lineno}: {told}; correct it"
    for path in sorted(history.versions.glob("*.py")):
        if _NO_TEXT.search(path.read_text("utf-8", "replace")):
            return f'{path}: revision and down_revision are texts, such as "0001"; put them into quotes'
    return f"the scripts in {history.versions} cannot be read: {told}; correct that"


def missing(history: History, scripts: ScriptDirectory, metadata: sa.MetaData) -> str | None:
    """What to say of a history that has tables and not one script."""
    tables = sorted(table for table in metadata.tables if history.owns(table))
    if not tables or scripts.get_heads():
        return None
    return (
        f"{history.name}: has tables ({', '.join(tables)}) and no migrations in {history.versions};"
        f' write them with `flask db revision {history.name} -m "first tables"`'
    )


def standing(history: History, scripts: ScriptDirectory, versions: Versions) -> Standing:
    at = versions.at.get(history.name, set())
    newest_first = [each.revision for each in scripts.walk_revisions()]
    unknown = not at <= set(newest_first)
    behind = len(newest_first) if not at else 0 if unknown else min(map(newest_first.index, at))
    head = newest_first[0] if newest_first else None
    return Standing(history.name, ", ".join(sorted(at)) or None, head, behind, unknown)


def next_revision(scripts: ScriptDirectory) -> str:
    """Revisions are numbers, so that a folder reads in order: ``0001``, ``0002``."""
    numbers = [int(each.revision) for each in scripts.walk_revisions() if each.revision.isdigit()]
    return f"{max(numbers, default=0) + 1:04d}"
