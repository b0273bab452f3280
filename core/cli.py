"""The command line: ``flask plugins | db | audit | secrets | doctor`` and the plugins' own commands.

Its process is not patched for gevent.
"""

from __future__ import annotations

from flask import Flask

from core.app import boot
from core.ops import audit, db, plugins, secrets
from core.ops.doctor import command as doctor
from core.ops.doctor.admission import Bedridden, admit, invalid, is_asked_for
from core.ops.plainly import PlainGroup


def create_cli_app() -> Flask:
    """What ``.flaskenv`` names."""
    # A board that does not start is the one that these two are called to; the check boots one of its own.
    if is_asked_for("doctor"):
        app = admit()
    elif is_asked_for("plugins", "check"):
        app = invalid(())
    else:
        app = boot("cli")
    for group in (plugins.group, db.group, audit.group, secrets.group, doctor.command):
        app.cli.add_command(group)
    if not isinstance(app.cli, Bedridden):
        app.cli = PlainGroup(app)
    return app
