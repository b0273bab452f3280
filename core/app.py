"""``create_app(kind)``: the whole boot order on one screen. Nothing here connects to anything."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from flask import Flask
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import configure_mappers

from core import config
from core.contracts import Services
from core.data.models import db
from core.errors import BootError
from core.registry.discovery import Registry, discover
from core.registry.mounting import PARTS, mount

Kind = Literal["web", "worker", "scheduler", "cli"]

ROOT = Path(__file__).resolve().parent.parent

# Each room's init_app, lowest floor first; a room may rely on those before it.
ROOMS = (
    "core.telemetry",
    "core.data.models",
    "core.data.slow",
    "core.data.redis",
    "core.data.outbox",
    "core.trust.permissions",
    "core.trust.identity",
    "core.background.tasks",
    "core.background.events",
    "core.background.duties",
    "core.background.effects",
    "core.background.schedules.firing",
    "core.registry.standins",
    "core.web.replies",
    "core.web.idempotency",
    "core.web.import_records",
    "core.web.edge",
    "core.web.health",
    "core.web.openapi",
    "core.live.notify",
)


def create_app(kind: Kind, *, parts: Iterable[str] | None = None, pool: int | None = None) -> Flask:
    """A board for one kind of process. ``parts`` overrides which parts of the plugins are imported; with ``pool`` it
    keeps at most so many connections to each database, where the settings allow more.

    Raises ``BootError`` with every fault found, one line each.
    """
    began = time.perf_counter()
    app = Flask("pegboard", root_path=str(ROOT), static_folder=None)
    settings, registry = _configured()
    if pool is not None:
        settings = dataclasses.replace(settings, database_pool=min(pool, settings.database_pool))
    app.extensions["pegboard.settings"] = settings
    app.extensions["pegboard.kind"] = kind
    app.extensions["pegboard.services"] = Services()
    app.extensions["pegboard.registry"] = registry
    for room in ROOMS:
        importlib.import_module(room).init_app(app)
    mount(app, registry, PARTS[kind] if parts is None else parts)
    app.extensions["pegboard.boot_ms"] = (time.perf_counter() - began) * 1000
    return app


def _configured() -> tuple[config.BoardSettings, Registry]:
    """The board's settings and its plugins; whoever set both up wrongly hears of both at once."""
    settings, faults = config.survey(os.environ)
    try:
        registry = discover(settings, os.environ)
    except BootError as exc:
        raise BootError(*faults, *exc.faults) from None
    if faults:
        raise BootError(*faults)
    return config.complete(settings), registry


def _try_role(app: Flask) -> None:
    """Connect once and let go, before any fork: a role that no policy binds must not even begin to serve.

    A database that is away is no fault here: it comes back by itself, and the same check is made then.
    """
    with app.app_context():
        try:
            db.engine.connect().close()
        except OperationalError:
            pass
        finally:
            db.engine.dispose()


def _map_models() -> None:
    """What would wait for the first query: mistakes in relationships are told now, and forks share what this makes."""
    try:
        configure_mappers()
    except SQLAlchemyError as exc:
        raise BootError(f"models cannot be mapped: {exc}") from exc


def boot(kind: Kind, *, pool: int | None = None) -> Flask:
    """``create_app`` for the head of a process: faults go to stderr, a line each, and the process ends with 1."""
    try:
        app = create_app(kind, pool=pool)
        if kind != "cli":
            _map_models()
            if not app.extensions["pegboard.settings"].development:
                _try_role(app)
        return app
    except BootError as exc:
        for fault in exc.faults:
            print(f"pegboard: {fault}", file=sys.stderr)
        raise SystemExit(1) from None
