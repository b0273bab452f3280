"""Up, down and where things stand: the histories of one board, brought to one database.

Each revision is a transaction of its own, so an upgrade that was killed goes on where it stopped. One upgrade runs at a
time; a second waits and then finds nothing to do. Alembic is imported only once a command needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask import Flask, current_app

from core import config
from core.config import BoardSettings
from core.data.migrations import roles
from core.data.migrations.connection import MigrationError, MigrationSettings, alone, engine, explained
from core.data.migrations.history import History, of_board, of_plugin, orphans, read_versions
from core.data.migrations.locks import watched
from core.data.migrations.scripts import Standing, Step, configure, missing, read_scripts, standing
from core.data.models import db

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

Say = Callable[[str], None]


def quietly(line: str) -> None:
    """Say nothing."""


def upgrade(only: str | None = None, say: Say = quietly) -> list[Step]:
    """Bring the running board's database up: every history, or that of one plugin. Needs an app context."""
    return Migrations.of(current_app, say).upgrade(only)


class Migrations:
    """The histories of one board and the database they are for.

    ``url`` is the tables' owner; ``app_url`` the app's own role, which is given what it needs when it is another.
    Every method needs an app context, because Flask-Migrate does, and raises ``MigrationError``.
    """

    def __init__(
        self,
        histories: Iterable[History],
        url: str,
        *,
        app_url: str | None = None,
        metadata: sa.MetaData = db.metadata,
        settings: MigrationSettings | None = None,
        say: Say = quietly,
    ) -> None:
        self.histories = list(histories)
        self.url = url
        self.app_url = app_url if app_url and app_url != url else None
        self.metadata = metadata
        self.settings = settings or MigrationSettings()
        self.say = say

    @classmethod
    def of(cls, app: Flask, say: Say = quietly) -> Migrations:
        """The running board's: its own history first, then its plugins' in load order."""
        board: BoardSettings = app.extensions["pegboard.settings"]
        plugins = (entry.plugin for entry in app.extensions["pegboard.registry"].on)
        return cls(
            [of_board(), *(of_plugin(plugin.name, plugin.package) for plugin in plugins)],
            board.migration_database_url or board.database_url,
            app_url=board.database_url,
            settings=config.read(MigrationSettings, os.environ),
            say=say,
        )

    def find(self, name: str) -> History:
        for history in self.histories:
            if history.name == name:
                return history
        known = ", ".join(history.name for history in self.histories)
        raise MigrationError(f"no plugin {name!r} is switched on; there are: {known}")

    def upgrade(self, only: str | None = None) -> list[Step]:
        """Apply what is missing, and answer what that was. Where nothing is, it costs one query."""
        chosen = {each: self.scripts(each) for each in ([self.find(only)] if only else self.histories)}
        for history, scripts in chosen.items():
            if fault := missing(history, scripts, self.metadata):
                raise MigrationError(fault)
        named = sa.make_url(self.app_url).username if self.app_url else None
        with self.engine() as made:
            with _looking(made) as connection:
                versions = read_versions(connection, chosen, named)
            behind = []
            for history, scripts in chosen.items():
                found = standing(history, scripts, versions)
                behind += [history] if found.behind else []
                if found.unknown:
                    self.say(f"{found}; left as it is")
            if not behind and not versions.ungranted:
                return []
            with alone(made, self.settings, self.say) as still_alone, made.connect() as connection:
                done = []
                for history in behind:
                    choose = _towards(chosen[history]._upgrade_revs, "head")
                    done += self._run(connection, history, chosen[history], choose, still_alone)
                self._grant(connection)
                return done

    def plan_upgrade(self, only: str | None = None) -> list[Step]:
        """What ``upgrade`` would apply, in that order."""
        chosen = {each: self.scripts(each) for each in ([self.find(only)] if only else self.histories)}
        with self.engine() as made, _looking(made) as connection:
            versions = read_versions(connection, chosen)
        steps = []
        for history, scripts in chosen.items():
            at: Any = tuple(versions.at.get(history.name, ()))
            with explained(lambda history=history: history.name, self.settings):  # type: ignore[misc]
                steps += [_step(history, step) for step in scripts._upgrade_revs("head", at)]
        return steps

    def plan_downgrade(self, name: str, target: str) -> list[Step]:
        """What ``downgrade`` would undo, in that order."""
        history = self.find(name)
        scripts = self.scripts(history)
        with self.engine() as made, _looking(made) as connection:
            at: Any = tuple(read_versions(connection, [history]).at.get(name, ()))
        with explained(lambda: f"{name}: cannot go down to {target}", self.settings):
            return [_step(history, step) for step in scripts._downgrade_revs(target, at)]

    def downgrade(self, name: str, target: str) -> list[Step]:
        """Undo the revisions of one history above ``target``: a revision, ``-1`` for the last one, ``base`` for all."""
        history = self.find(name)
        scripts = self.scripts(history)
        choose = _towards(scripts._downgrade_revs, target)
        with self.engine() as made, alone(made, self.settings, self.say) as still_alone, made.connect() as connection:
            return self._run(connection, history, scripts, choose, still_alone)

    def current(self) -> tuple[list[Standing], list[str]]:
        """Where each history stands, and the names of those that have tables here but are not on this board."""
        with self.engine() as made, _looking(made) as connection:
            versions = read_versions(connection, self.histories)
            found = [standing(history, self.scripts(history), versions) for history in self.histories]
            return found, orphans(connection, self.histories)

    def steps(self, name: str) -> list[Step]:
        """The revisions of one history, oldest first."""
        found = self.scripts(self.find(name)).walk_revisions()
        return [Step(name, each.revision, each.doc) for each in found][::-1]

    def scripts(self, history: History) -> ScriptDirectory:
        with explained(lambda: history.name, self.settings):
            return read_scripts(history)

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        with explained(lambda: "the database", self.settings), engine(self.url, self.settings) as made:
            yield made

    def _run(
        self,
        connection: sa.Connection,
        history: History,
        scripts: ScriptDirectory,
        choose: Callable[[Any], Iterable[Any]],
        still_alone: Callable[[], None],
    ) -> list[Step]:
        """Walk through the scripts, each in its own transaction."""
        from alembic.runtime.environment import EnvironmentContext

        from core.data.migrations.autogenerate import options

        done: list[Step] = []
        under_way: list[Step] = []
        scripts_under_way: list[Any] = []

        def walk(heads: Any, context: Any) -> Iterator[Any]:
            for step in choose(heads):
                still_alone()
                under_way[:] = [_step(history, step)]
                scripts_under_way[:] = [step.revision]
                yield step
                done.append(under_way.pop())
                self.say(str(done[-1]))

        settings = configure(history, connection, **options(history, self.metadata))

        def where() -> str:
            return str(under_way[0] if under_way else history.name)

        def reasons() -> Mapping[str, Any]:
            return getattr(scripts_under_way[0].module, "locks", {}) if scripts_under_way else {}

        told = explained(where, self.settings)
        with watched(connection, where, reasons, self.say), told, EnvironmentContext(settings, scripts, fn=walk):
            scripts.run_env()
        return done

    def _grant(self, connection: sa.Connection) -> None:
        """In two-role mode, let the app's role use what has been made. Which role that is behind a pooler, it says."""
        if self.app_url is None:
            return
        connection.rollback()
        with explained(lambda: "granting to DATABASE_URL's role", self.settings):
            with engine(self.app_url, self.settings) as made, made.connect() as app:
                role = str(app.scalar(sa.text("select current_user")))
            with connection.begin():
                if role != connection.scalar(sa.text("select current_user")):
                    roles.grant(connection, role, [history.name for history in self.histories])


def _looking(made: sa.Engine) -> sa.Connection:
    return made.connect().execution_options(isolation_level="AUTOCOMMIT")


def _towards(walk: Callable[[str, Any], Iterable[Any]], target: str) -> Callable[[Any], Iterable[Any]]:
    return lambda heads: walk(target, heads)


def _step(history: History, step: Any) -> Step:
    return Step(history.name, step.revision.revision, step.doc)
