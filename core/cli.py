"""The command line: ``flask plugins | db | audit`` and the plugins' own commands, in a process that is not patched."""

from __future__ import annotations

from flask import Flask

from core.app import boot
from core.ops import audit, db, plugins


def create_cli_app() -> Flask:
    """What ``.flaskenv`` names."""
    app = boot("cli")
    for group in (plugins.group, db.group, audit.group):
        app.cli.add_command(group)
    return app
