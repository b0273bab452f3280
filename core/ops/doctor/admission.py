"""How a board comes to the doctor: with as much of its settings as can be read, even where it does not start."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup

from core import config
from core.app import create_app
from core.config import BoardSettings
from core.errors import BootError
from core.ops.budget import ONE_OF_EACH, Formation
from core.ops.doctor.findings import Patient
from core.registry.manifest import EVERY_PART
from core.telemetry import hide_settings

FAULTS = "pegboard.faults"
NEEDED = ("DATABASE_URL", "REDIS_URL", "MONGODB_URI")


class _Readable(BoardSettings):
    """The board's settings, read without the rules that span several of them: those the topics tell."""

    def check(self) -> Iterator[str]:
        return iter(())


def patient(app: Flask, environ: Mapping[str, str] = os.environ, formation: Formation = ONE_OF_EACH) -> Patient:
    settings = readable(environ)
    hide_settings(settings)
    faults = tuple(app.extensions.get(FAULTS, ()))
    return Patient(settings, environ, None if faults else app, faults, formation)


def readable(environ: Mapping[str, str]) -> BoardSettings:
    """Settings without what is unacceptable; an address that is missing is empty, and answers as a dead server."""
    usable = {name: environ.get(name) or "" for name in environ} | {
        name: environ[name] if environ.get(name, "").strip() else f"missing://{name}" for name in NEEDED
    }
    while True:
        try:
            return config.read(_Readable, usable)
        except BootError as exc:
            named = {fault.split(" ", 1)[0] for fault in exc.faults} & usable.keys()
            if not named:
                raise
            for name in named:
                del usable[name]


def admit() -> Flask:
    """The command line's board with every part; where it does not start, an app on which only the doctor works.

    Every part, because a fault in any of them keeps some process of the board from starting.
    """
    try:
        return create_app("cli", parts=EVERY_PART)
    except BootError as exc:
        return invalid(exc.faults)


def invalid(faults: Iterable[str]) -> Flask:
    app = Flask("pegboard", static_folder=None)
    app.extensions[FAULTS] = tuple(faults)
    app.cli = Bedridden(faults)
    return app


def is_asked_for(*command: str, arguments: list[str] | None = None) -> bool:
    """Whether the command line is ``flask … <command>``, options aside."""
    words = [word for word in (sys.argv if arguments is None else arguments)[1:] if not word.startswith("-")]
    return tuple(words[: len(command)]) == command


class Bedridden(AppGroup):
    """Commands of a board that does not start: all but those that were added to it say why."""

    def __init__(self, faults: Iterable[str]) -> None:
        super().__init__()
        self.faults = tuple(faults)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        found: Any = super().get_command(ctx, name)
        if found is None:
            raise click.ClickException("\n".join(self.faults))
        return found
