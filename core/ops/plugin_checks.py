"""What ``flask plugins check`` looks at beyond a boot with every part.

Providers, imports of other plugins' modules, enqueued names, migration scripts, types that no schema describes.

It needs no store, so it can run wherever the code is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from flask import Flask

from core.background.tasks import Tasks, task_faults
from core.contracts import Services
from core.data.migrations import MigrationError, Migrations
from core.data.migrations.history import BOARD
from core.data.migrations.scripts import missing
from core.errors import BootError
from core.registry import neighbours, providers
from core.registry.discovery import Registry, installed, module_of
from core.registry.manifest import EVERY_PART
from core.web import openapi


def check() -> tuple[list[str], list[str]]:
    """Boot with every part of every plugin and look; the plugins that are on, and what is wrong, one line each."""
    from core.app import create_app

    try:
        board = create_app("cli", parts=EVERY_PART)
    except BootError as exc:
        return [], list(exc.faults)
    with board.app_context():
        found = [
            *_provider_faults(board),
            *_neighbour_faults(board),
            *_enqueue_faults(board),
            *_script_faults(board),
            *openapi.faults(board),
        ]
    return [entry.plugin.name for entry in _registry(board).on], found


def _registry(board: Flask) -> Registry:
    registry: Registry = board.extensions["pegboard.registry"]
    return registry


def _provider_faults(board: Flask) -> Iterator[str]:
    """Implementations that cannot be made, or lack what their contract has."""
    services: Services = board.extensions["pegboard.services"]
    for contract in services.contracts():
        for name in services.providers(contract):
            try:
                made = services.get(contract, name)
            except Exception as exc:
                told = f"its {contract.__name__} cannot be made: {type(exc).__name__}: {exc}"
                yield f"plugin {name}: {told}; correct what provides= names"
                continue
            for fault in providers.faults(contract, made):
                yield f"plugin {name}: its {contract.__name__} {fault}"


def _neighbour_faults(board: Flask) -> Iterator[str]:
    """Imports of other plugins' modules, those of plugins that are installed and off included."""
    packages = {point.name: module_of(point) for point in installed()}
    packages |= {name: entry.plugin.package for name, entry in _registry(board).plugins.items()}
    for entry in _registry(board).on:
        yield from neighbours.faults(entry.plugin, packages)


def _enqueue_faults(board: Flask) -> Iterator[str]:
    """Every ``enqueue("name", …)`` in the plugins' sources that names no task, or does not fit it."""
    tasks: Tasks = board.extensions["pegboard.tasks"]
    for entry in _registry(board).on:
        spec = importlib.util.find_spec(entry.plugin.package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for fault in task_faults(Path(folder), tasks):
                yield f"plugin {entry.plugin.name}: {entry.plugin.package}/{fault}; correct the name or the arguments"


def _script_faults(board: Flask) -> Iterator[str]:
    """Migration scripts that cannot be read, or are not one line, or are not there at all."""
    migrations = Migrations.of(board)
    for history in migrations.histories:
        try:
            scripts = migrations.scripts(history)
            fault = missing(history, scripts, migrations.metadata)
        except MigrationError as exc:
            fault = str(exc)
        if fault:
            yield fault if history.name == BOARD else f"plugin {fault}"
