"""``flask db``: migrations of the board and of every plugin, in their order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import current_app
from flask.cli import with_appcontext

from core.config import BoardSettings
from core.data.migrations import MigrationError, Migrations
from core.data.models import psycopg_url
from core.errors import BootError
from core.telemetry import scrub

group = click.Group("db", help="Bring the database up, or one plugin down; write and check migrations.")


@contextmanager
def _board() -> Iterator[Migrations]:
    """The board's migrations; what goes wrong with them is told in a line, and the command ends with 1."""
    try:
        yield Migrations.of(current_app, click.echo)
    except (MigrationError, BootError) as exc:
        raise click.ClickException(str(exc)) from exc


@group.command()
@click.option("--plugin", metavar="NAME", help="Only this plugin (or core).")
@click.option("--dry-run", is_flag=True, help="Say what would be applied, and apply nothing.")
@with_appcontext
def upgrade(plugin: str | None, dry_run: bool) -> None:
    """Apply every migration that is missing.

    The board's come first, then each plugin's; then the indexes of documents.
    """
    with _board() as board:
        if dry_run:
            for step in (plan := board.plan_upgrade(plugin)):
                click.echo(f"would be applied: {step}")
            if not plan:
                click.echo("nothing to do")
            return
        if not board.upgrade(plugin):
            click.echo("nothing to do")
    _index_documents()


def _index_documents() -> None:
    """Make the indexes that documents declare, on boards that keep any: nobody else need have a document store."""
    if not any("documents" in entry.parts for entry in current_app.extensions["pegboard.registry"].on):
        return
    from pymongo.errors import PyMongoError

    from core.data.documents import ensure_indexes

    try:
        for line in ensure_indexes(current_app._get_current_object()):  # type: ignore[attr-defined]
            click.echo(line)
    except PyMongoError as exc:
        raise click.ClickException(
            f"the tables are up to date, but MONGODB_URI's server did not take the indexes: {exc};"
            " run `flask db upgrade` again when it does"
        ) from exc


@group.command(context_settings={"ignore_unknown_options": True})
@click.argument("plugin")
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
def downgrade(plugin: str, revision: str, yes: bool) -> None:
    """Undo migrations of a plugin.

    Those above REVISION go; -1 means the last one, base all of them.
    """
    with _board() as board:
        plan = board.plan_downgrade(plugin, revision)
        if not plan:
            click.echo("nothing to do")
            return
        click.echo("This undoes, and loses what only these keep:")
        for step in plan:
            click.echo(f"  {step}")
        if not yes:
            click.confirm("Go on?", abort=True)
        board.downgrade(plugin, revision)


@group.command()
@click.argument("plugin")
@click.option("-m", "--message", required=True, help="What it changes; it becomes part of the file's name.")
@click.option("--autogenerate/--empty", default=True, help="Compare models with tables, or leave it to be filled in.")
@with_appcontext
def revision(plugin: str, message: str, autogenerate: bool) -> None:
    """Write a plugin's next migration."""
    from core.data.migrations.drift import write_revision

    with _board() as board:
        click.echo(
            f"written: {write_revision(board, plugin, message, empty=not autogenerate)}; read it before you commit"
        )


@group.command()
@with_appcontext
def current() -> None:
    """Where each history stands."""
    with _board() as board:
        standings, left = board.current()
        for each in standings:
            state = "newer than this code" if each.unknown else f"{each.behind} behind" if each.behind else "up to date"
            click.echo(f"{each.history:<20} {each.at or '-':<12} {state}")
        for name in left:
            click.echo(f"{name:<20} {'':<12} not on this board; its tables are left as they are")


@group.command()
@click.argument("plugin")
@with_appcontext
def history(plugin: str) -> None:
    """A plugin's migrations, oldest first."""
    with _board() as board:
        for step in board.steps(plugin):
            click.echo(str(step))


@group.command()
@with_appcontext
def check() -> None:
    """Fail where models and migrations disagree.

    Also where the database is behind, or a table breaks the rules that keep tenants apart.
    """
    from core.data.migrations.drift import faults

    with _board() as board:
        found = faults(board)
    for fault in found:
        click.echo(fault, err=True)
    if found:
        raise SystemExit(1)
    click.echo(f"{len(board.histories)} histories agree with models and database")


@group.command()
@click.option("--json", "as_json", is_flag=True, help="As data, with every field.")
@with_appcontext
def locks(as_json: bool) -> None:
    """Show who waits for whom, the session that holds all others up first."""
    import psycopg

    from core.ops import db_locks

    settings: BoardSettings = current_app.extensions["pegboard.settings"]
    try:
        found = db_locks.sessions(psycopg_url(settings.migration_database_url or settings.database_url))
    except psycopg.Error as exc:
        words = str(exc).strip().splitlines() or [type(exc).__name__]
        raise click.ClickException(f"PostgreSQL did not answer: {scrub(words[0])}") from exc
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not found:
        click.echo("nobody waits for anybody")
    for row in [] if as_json else found:
        click.echo(db_locks.told(row))
