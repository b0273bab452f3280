"""Putting a plugin's parts into the app, each in the processes that need it, and policing prefixes and marks."""

from __future__ import annotations

import importlib
import importlib.util
import re
import time
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import click
from flask import Blueprint, Flask

from core.background import duties
from core.background.schedules import declared as schedules
from core.background.tasks import Tasks
from core.contracts import Services
from core.errors import BootError
from core.registry import tables
from core.registry.blame import describe, located, place
from core.registry.discovery import Mounted, Registry
from core.trust import permissions
from core.web.routes import Endpoint, Routes, endpoints

PARTS = {
    "web": ("models", "documents", "views", "sockets", "listeners", "duties"),
    "worker": ("models", "documents", "tasks", "listeners"),
    "scheduler": ("models", "documents", "listeners", "duties"),
    "cli": ("models", "documents", "listeners", "cli"),
}

PARAMETER_NAME = re.compile(r"[A-Za-z_]\w*>")
GIVEN_BY_FLASK = frozenset({"HEAD", "OPTIONS"})


def mount(app: Flask, registry: Registry, parts: Iterable[str]) -> None:
    """Import and attach the parts of every plugin that is on. Raises ``BootError`` with all faults found."""
    faults: list[str] = []
    parts = tuple(parts)
    for entry in registry.on:
        began = time.perf_counter()
        _provide(app, entry)
        faults += permissions.declare(app, entry.plugin.name, entry.plugin.permissions)
        for part in parts:
            try:
                module = _import_part(entry, part)
                if module is not None:
                    entry.parts[part] = module
                    faults += _ATTACH.get(part, _nothing)(app, entry, module)
            except BootError as exc:
                faults += exc.faults
        # Last: any of the parts may bring a module with tables.
        faults += tables.faults(entry.plugin.name, entry.plugin.package, entry.parts.get("models"))
        entry.load_ms += (time.perf_counter() - began) * 1000
    for entry in registry.on:
        faults += grant_faults(app, entry)
    faults += permission_faults(app, registry)
    if {"tasks", "duties"} <= set(parts):
        faults += schedules.call_faults(app)
    faults += double_faults(app)
    faults += (
        fault for endpoint in endpoints(app) if endpoint.plugin not in registry.plugins for fault in endpoint.faults()
    )
    if faults:
        raise BootError(*faults)


def _import_part(entry: Mounted, part: str) -> ModuleType | None:
    name = f"{entry.plugin.package}.{part}"
    try:
        if importlib.util.find_spec(name) is None:
            return None
        return importlib.import_module(name)
    except BootError as exc:
        where = place(exc, entry.plugin.package)
        raise BootError(*(f"plugin {entry.plugin.name}: {located(fault, where)}" for fault in exc.faults)) from exc
    except (Exception, SystemExit) as exc:
        told = describe(exc, entry.plugin.package)
        raise BootError(f"plugin {entry.plugin.name}: {name} cannot be imported: {told}") from exc


def _provide(app: Flask, entry: Mounted) -> None:
    services: Services = app.extensions["pegboard.services"]
    for contract, name, target in entry.plugin.answers():
        services.provide(contract, name, _maker(target))


def _maker(target: str) -> Callable[[], Any]:
    module, _, attribute = target.partition(":")

    def make() -> Any:
        found = getattr(importlib.import_module(module), attribute)
        return found() if isinstance(found, type) else found

    return make


# -- one function for each part ---------------------------------------------------------------------------------


def _nothing(app: Flask, entry: Mounted, module: ModuleType) -> list[str]:
    return []


def _documents(app: Flask, entry: Mounted, module: ModuleType) -> list[str]:
    from core.data.documents.checks import document_faults

    return document_faults(entry.plugin.name, module)


def _views(app: Flask, entry: Mounted, module: ModuleType) -> list[str]:
    name = entry.plugin.name
    faults: list[str] = []
    for routes in vars(module).values():
        if isinstance(routes, Blueprint) and not isinstance(routes, Routes):
            faults.append(f"plugin {name}: {module.__name__} has a plain Blueprint; make it core.web.Routes(__name__)")
        if not isinstance(routes, Routes):
            continue
        try:
            app.register_blueprint(
                routes,
                name=_blueprint(name, routes),
                url_prefix=routes.url_prefix or (f"/{name}" if routes.pages else f"/api/{name}"),
            )
        except BootError as exc:
            faults += [f"plugin {name}: {fault}" for fault in exc.faults]
        except ValueError as exc:
            faults.append(
                f"plugin {name}: {module.__name__}: {exc};"
                " keep one Routes, one with pages=True, and one for each url_prefix of its own"
            )
        faults += [f"plugin {name}: {fault}" for fault in routes.faults()]
    allowed = (f"/api/{name}/", f"/{name}/")
    for rule in app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] != name or rule.rule in entry.plugin.public_paths:
            continue
        if not f"{rule.rule}/".startswith(allowed):
            faults.append(
                f"plugin {name}: route {rule.rule!r} is outside its prefix /api/{name};"
                " move it there, or list it in the manifest's public_paths"
            )
    return faults


def _blueprint(name: str, routes: Routes) -> str:
    """What a plugin's Routes are called: each of its own, and all beginning with the plugin's name."""
    if routes.pages:
        return f"{name}.pages"
    if routes.url_prefix is None:
        return name
    return f"{name}.{re.sub(r'[^A-Za-z0-9]+', '_', routes.url_prefix).strip('_') or 'root'}"


def _tasks(app: Flask, entry: Mounted, module: ModuleType) -> list[str]:
    app.extensions["pegboard.tasks"].add(entry.plugin.name, module)
    return []


def _listeners(app: Flask, entry: Mounted, module: ModuleType) -> list[str]:
    app.extensions["pegboard.listeners"].add(entry.plugin.name, module)
    return []


def _duties(app: Flask, entry: Mounted, module: ModuleType) -> list[str]:
    faults: list[str] = []
    for room in (duties, schedules):
        try:
            room.add_module(app, entry.plugin.name, module)
        except BootError as exc:
            faults += exc.faults
    return faults


def _cli(app: Flask, entry: Mounted, module: ModuleType) -> list[str]:
    for command in vars(module).values():
        if isinstance(command, click.Group) and command.name == entry.plugin.name:
            app.cli.add_command(command)
            return []
    return [f"plugin {entry.plugin.name}: {module.__name__} has no click group named {entry.plugin.name!r}; add one"]


_ATTACH: dict[str, Callable[[Flask, Mounted, ModuleType], list[str]]] = {
    "documents": _documents,
    "views": _views,
    "tasks": _tasks,
    "listeners": _listeners,
    "duties": _duties,
    "cli": _cli,
}


# -- checks across plugins --------------------------------------------------------------------------------------


def grant_faults(app: Flask, entry: Mounted) -> list[str]:
    """What a manifest grants by default and nobody declares, and roles that it grants to and nobody has."""
    if not entry.plugin.default_grants:
        return []
    from core.registry.standins.authorizer import GRANTS

    known = app.extensions["pegboard.permissions"]
    strangers = [
        f"plugin {entry.plugin.name}: default_grants names the role {role!r}, which is not built in;"
        f" take one of {', '.join(sorted(GRANTS))}"
        for role in entry.plugin.default_grants
        if role not in GRANTS
    ]
    return strangers + [
        f"plugin {entry.plugin.name}: default_grants gives {role!r} the permission {permission!r},"
        " which no plugin declares; add it to permissions"
        for role, granted in entry.plugin.default_grants.items()
        for permission in granted
        if permission not in known
    ]


def permission_faults(app: Flask, registry: Registry) -> list[str]:
    """Permissions that a route or task requires and nobody declares; resources whose kind nobody declares."""
    known = app.extensions["pegboard.permissions"]
    tasks: Tasks = app.extensions["pegboard.tasks"]
    asking = [(endpoint.plugin, endpoint.name, endpoint.marks) for endpoint in endpoints(app)]
    asking += [
        (name.partition(".")[0], f"task {name}", task.marks)
        for name in tasks.names()
        if (task := tasks.get(name)) and task.marks
    ]
    faults = []
    for owner, what, marks in asking:
        name = f"plugin {owner}: {what}" if owner in registry.plugins else what
        if marks.permission is None:
            continue
        if marks.permission not in known:
            faults.append(
                f"{name} requires the permission {marks.permission!r}, which no plugin declares;"
                " add it to the manifest's permissions"
            )
        elif marks.id_parameter is not None and permissions.kind_of(marks.permission) is None:
            faults.append(
                f"{name} requires {marks.permission!r} on one resource, and no model declares the word with"
                " resource_type(ResourceType(kind, word, Model)); add that beside the model, or leave out id="
            )
    return faults


def double_faults(app: Flask) -> Iterator[str]:
    """Rules with a method that another view has already: only the first would ever be called."""
    taken: dict[tuple[str, str], str] = {}
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        name = view.name if isinstance(view, Endpoint) else "the board"
        for method in sorted((rule.methods or set()) - GIVEN_BY_FLASK):
            # Whatever the parameters are called, they match the same addresses.
            first = taken.setdefault((PARAMETER_NAME.sub(">", rule.rule), method), name)
            if first != name and isinstance(view, Endpoint):
                told = f"{method} {rule.rule} is taken by {first}"
                yield f"plugin {view.plugin}: {name}: {told}; give it another rule or method"
