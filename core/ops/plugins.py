"""``flask plugins``: what is installed and on, whether it keeps the rules, a new one, and the last of an old one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

from core.ops import plugin_checks
from core.ops.purge import purge
from core.ops.scaffold import new
from core.registry.discovery import Mounted, Registry, installed, module_of

group = click.Group("plugins", help="See, check, begin and remove plugins of this board.")
group.add_command(new)
group.add_command(purge)

FACTS = ("requires", "provides", "public_paths")

as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@group.command("list")
@as_json
@with_appcontext
def list_plugins(as_json: bool) -> None:
    """Each plugin: state, version, load time, requirements, what it provides, public paths.

    Those that are installed and not chosen by PLUGINS come last.
    """
    registry: Registry = current_app.extensions["pegboard.registry"]
    rows = [_told(entry) for entry in registry.plugins.values()]
    others = {point.name: point for point in installed() if point.name not in registry.plugins}
    rows += [
        {"name": name, "state": "off", "reason": ["not in PLUGINS"], "package": module_of(others[name])}
        for name in sorted(others)
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for line in _aligned([_cells(row) for row in rows]):
        click.echo(line)


def _told(entry: Mounted) -> dict[str, Any]:
    plugin = entry.plugin
    dist = entry.point.dist if entry.point else None
    return {
        "name": plugin.name,
        "state": entry.state,
        "reason": entry.reason.splitlines(),
        "package": plugin.package,
        "distribution": dist.name if dist else None,
        "version": dist.version if dist else None,
        "api": plugin.api,
        "load_ms": round(entry.load_ms, 1),
        "requires": list(plugin.requires),
        "after": list(plugin.after),
        "provides": [contract.__name__ for contract in plugin.provides],
        "permissions": list(plugin.permissions),
        "public_paths": list(plugin.public_paths),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    if "version" not in row:
        return [row["name"], row["state"], *row["reason"]]
    facts = [f"{word.replace('_', ' ')} {', '.join(row[word])}" for word in FACTS if row[word]]
    return [
        row["name"],
        row["state"],
        f"{row['distribution'] or row['package']} {row['version'] or ''}".rstrip(),
        f"{row['load_ms']:.1f} ms",
        " · ".join([*facts, *row["reason"]]),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns as wide as their widest cell; the last of a row takes what room it wants."""
    widths: dict[int, int] = {}
    for row in rows:
        for column, cell in enumerate(row[:-1]):
            widths[column] = max(widths.get(column, 0), len(cell))
    for row in rows:
        cells = [cell.ljust(widths[column]) for column, cell in enumerate(row[:-1])]
        yield "  ".join([*cells, row[-1]]).rstrip()


@group.command("check")
@as_json
@with_appcontext
def check_plugins(as_json: bool) -> None:
    """Import every part of every plugin as each process would, and report all that is wrong.

    Also what no boot notices: tasks that are enqueued and do not exist, implementations that cannot be called as their
    contract says, imports from other plugins, migration scripts that cannot be read, types that the OpenAPI document
    cannot describe. Asks no store.
    """
    names, faults = plugin_checks.check()
    if as_json:
        click.echo(json.dumps({"plugins": names, "faults": faults}, indent=2))
    else:
        for fault in faults:
            click.echo(fault, err=True)
        if not faults:
            click.echo(f"{len(names)} plugins keep the rules: {', '.join(names)}")
    if faults:
        raise SystemExit(1)
