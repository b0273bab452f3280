"""The command line: ``flask plugins | db | audit | secrets | doctor`` and the plugins' own commands.

Its process is not patched for gevent.
"""

from __future__ import annotations

from flask import Flask

from core.app import boot
from core.ops import audit, db, plugins, secrets
from core.ops.doctor import command as doctor
from core.ops.doctor.admission import admit, invalid, is_asked_for


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
    return app
