"""The command line's commands, its plugins' own among them: what a store refuses is told in a line, not in a stack."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup

from core.data.faults import as_refusal
from core.errors import (
    BUSY,
    DATABASE_UNAVAILABLE,
    DOCUMENTS_UNAVAILABLE,
    MIGRATIONS_PENDING,
    REDIS_UNAVAILABLE,
    BootError,
    Refused,
)
from core.telemetry import scrub

CURES = {
    DATABASE_UNAVAILABLE: "see that its server runs, and DATABASE_URL",
    REDIS_UNAVAILABLE: "see that its server runs, and REDIS_URL",
    DOCUMENTS_UNAVAILABLE: "see that its server runs, and MONGODB_URI",
    MIGRATIONS_PENDING: "run `flask db upgrade`",
    BUSY: "run the command again",
}
DENIED = "42501"  # PostgreSQL's state for a missing privilege


class PlainGroup(AppGroup):
    """In place of an app's own group, with the commands of that."""

    def __init__(self, app: Flask) -> None:
        super().__init__(name=app.name, commands=app.cli.commands)
        self.app = app

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        found = super().get_command(ctx, name)
        if found is None:
            return None
        guarded = copy.copy(found)
        guarded.invoke = partial(self._invoke, found)  # type: ignore[method-assign]
        return guarded

    def _invoke(self, command: click.Command, ctx: click.Context) -> Any:
        try:
            return command.invoke(ctx)
        except Exception as exc:
            with self.app.app_context():
                told = explain(exc)
            if told is None:
                raise
            raise click.ClickException(told) from exc


def explain(exc: Exception) -> str | None:
    """What to tell of an exception that is no mistake of the command's; ``None`` for one that wants its traceback."""
    if isinstance(exc, BootError):
        return str(exc)
    if isinstance(exc, Refused):
        return exc.detail or exc.code.title
    origin = getattr(exc, "orig", None) or exc
    words = scrub(" ".join(str(origin).partition("\n")[0].split())) or type(origin).__name__
    if getattr(origin, "sqlstate", None) == DENIED:
        return f"The database refuses: {words}; `flask db upgrade` grants DATABASE_URL's role what it needs"
    refusal = as_refusal(exc)
    if refusal is None or refusal.code not in CURES:
        return None
    return f"{refusal.code.title}: {words}; {CURES[refusal.code]}"
