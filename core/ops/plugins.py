"""``flask plugins``: what is installed, what is on, and whether every plugin keeps the rules."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from core.contracts import Services
from core.errors import BootError
from core.registry.discovery import Registry
from core.registry.mounting import EVERY_PART

group = click.Group("plugins", help="See and check the plugins of this board.")


@group.command("list")
@with_appcontext
def list_plugins() -> None:
    """Each plugin: state, load time, requirements, what it provides, public paths."""
    registry: Registry = current_app.extensions["pegboard.registry"]
    for entry in registry.plugins.values():
        plugin = entry.plugin
        facts = [f"api {plugin.api}", f"{entry.load_ms:.1f} ms", plugin.package]
        if plugin.requires:
            facts.append(f"requires {', '.join(plugin.requires)}")
        if plugin.provides:
            facts.append(f"provides {', '.join(contract.__name__ for contract in plugin.provides)}")
        if plugin.public_paths:
            facts.append(f"public paths {', '.join(plugin.public_paths)}")
        click.echo(f"{plugin.name:<20} {entry.state:<4} {' · '.join(facts)}")
        for line in entry.reason.splitlines():
            click.echo(f"{'':<20} {line}")


@group.command("check")
@with_appcontext
def check_plugins() -> None:
    """Import every part of every plugin as each process would, and report all that is wrong."""
    from core.app import create_app
    from core.data.migrations import table_faults
    from core.data.models import db

    try:
        board = create_app("web", parts=EVERY_PART)
    except BootError as exc:
        faults = list(exc.faults)
    else:
        with board.app_context():
            faults = [*table_faults(db.metadata), *_provider_faults(board.extensions["pegboard.services"])]
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        raise SystemExit(1)
    names = [entry.plugin.name for entry in board.extensions["pegboard.registry"].on]
    click.echo(f"{len(names)} plugins keep the rules: {', '.join(names)}")


def _provider_faults(services: Services) -> list[str]:
    faults = []
    for contract in services.contracts():
        for name in services.providers(contract):
            try:
                made = services.get(contract, name)
            except Exception as exc:
                faults.append(f"plugin {name}: its {contract.__name__} cannot be made: {type(exc).__name__}: {exc}")
                continue
            missing = [word for word in vars(contract) if not word.startswith("_") and not hasattr(made, word)]
            if missing:
                faults.append(f"plugin {name}: its {contract.__name__} lacks {', '.join(missing)}; add them")
    return faults
