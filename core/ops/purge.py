"""``flask plugins purge NAME``: the last of a plugin that is off or uninstalled; told first, asked twice, audited."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from core.contracts import SYSTEM
from core.data.migrations import MigrationError, Migrations
from core.data.migrations.connection import alone, explained
from core.data.models import db
from core.data.unit import unit
from core.ops import leftovers
from core.registry.manifest import NAME, RESERVED
from core.trust.audit import record
from core.trust.identity import acting_as


@click.command()
@click.argument("name")
@click.option("--yes-really", is_flag=True, help="Do not ask: for scripts.")
@click.option("--force", is_flag=True, help="Even while the plugin is switched on here.")
@with_appcontext
def purge(name: str, yes_really: bool, force: bool) -> None:
    """Remove what the plugin NAME keeps: tables, version table, waiting jobs, notifications, keys, documents.

    The plugin need not be installed any more. The audit log keeps what it says of it, and notes the purge.
    """
    if not NAME.match(name) or name in RESERVED:
        raise click.BadParameter(f"{name!r} is no plugin's name", param_hint="NAME")
    entry = current_app.extensions["pegboard.registry"].plugins.get(name)
    if entry is not None and entry.state == "on" and not force:
        raise click.ClickException(
            f"{name} is switched on, and its processes may be using what would go: take it out of PLUGINS, deploy,"
            " and say this again; or say --force"
        )
    board = Migrations.of(current_app, click.echo)
    try:
        _purge(board, name, yes_really)
    except MigrationError as exc:
        raise click.ClickException(str(exc)) from exc


def _purge(board: Migrations, name: str, yes_really: bool) -> None:
    with board.engine() as made, made.connect() as connection:
        with connection.begin():
            found = leftovers.survey(name, connection)
        for line in found.away:
            click.echo(line, err=True)
        if not found:
            click.echo(f"nothing of {name} is here")
            return
        click.echo("This removes, for all tenants and for good:")
        for line in found.lines():
            click.echo(f"  {line}")
        if not yes_really:
            click.confirm("Is there a backup, and shall all of it go?", abort=True)
            if click.prompt("Type the plugin's name") != name:
                raise click.ClickException("that is not its name; nothing was removed")
        explaining = explained(lambda: f"purging {name}", board.settings)
        with explaining, alone(made, board.settings, board.say), acting_as(SYSTEM), unit(), connection.begin():
            record("core.plugin_purged", kind="plugin", id=name, before=found.record())
            db.session.flush()
            # This commits first: a purge that failed leaves no line that says it was done.
            leftovers.remove(name, connection, found)
    leftovers.remove_elsewhere(name, found)
    click.echo(f"{name} is gone")
