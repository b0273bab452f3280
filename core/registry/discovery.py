"""Finding plugins: entry points, which of them are on, in which order, with which settings."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Literal

from core import config, telemetry
from core.contracts import ONE
from core.errors import BootError
from core.registry.manifest import Plugin

GROUP = "pegboard.plugins"


@dataclasses.dataclass
class Mounted:
    """A plugin on this board: its manifest, settings, imported parts and how it fared."""

    plugin: Plugin
    settings: Any = None
    state: Literal["on", "off"] = "on"
    reason: str = ""
    load_ms: float = 0.0
    parts: dict[str, ModuleType] = dataclasses.field(default_factory=dict)


class Registry:
    """The plugins of one board, in load order; those that a lenient start left out are there, switched off."""

    def __init__(self, mounted: Iterable[Mounted]) -> None:
        self.plugins = {entry.plugin.name: entry for entry in mounted}

    @property
    def on(self) -> list[Mounted]:
        return [entry for entry in self.plugins.values() if entry.state == "on"]

    def settings_of(self, name: str) -> Any:
        return self.plugins[name].settings


def discover(board: config.BoardSettings, environ: Mapping[str, str]) -> Registry:
    """Every chosen plugin, ordered and configured. Raises ``BootError`` with all faults found."""
    found, faults = _manifests(board.plugins)
    chosen = {name: entry for name, entry in found.items() if not board.plugins or name in board.plugins}
    faults += [
        f"PLUGINS names {name!r}, which is not installed; installed are: {', '.join(sorted(found)) or 'none'}"
        for name in board.plugins
        if name not in found
    ]
    for entry in chosen.values():
        faults.extend(entry.plugin.faults())
    _configure(chosen, environ)
    _require(chosen, found)
    left_out = [entry for entry in chosen.values() if entry.state == "off"]
    if left_out and not board.plugins_lenient:
        faults += [line for entry in left_out for line in entry.reason.splitlines()]
    faults += _double_providers(entry for entry in chosen.values() if entry.state == "on")
    if faults:
        raise BootError(*faults)
    return Registry([*_ordered(chosen), *left_out])


def _manifests(wanted: tuple[str, ...]) -> tuple[dict[str, Mounted], list[str]]:
    found: dict[str, Mounted] = {}
    origins: dict[str, EntryPoint] = {}
    faults: list[str] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        if wanted and point.name not in wanted:
            found.setdefault(point.name, Mounted(Plugin(name=point.name, package=point.module)))
            continue
        if point.name in origins:
            if origins[point.name].value != point.value:
                faults.append(
                    f"plugin {point.name}: declared twice, by {origins[point.name].value} and {point.value};"
                    " uninstall one of the two distributions"
                )
            continue
        origins[point.name] = point
        began = time.perf_counter()
        try:
            plugin = point.load()
        except Exception as exc:
            faults.append(f"plugin {point.name}: {point.module} cannot be imported: {describe(exc)}")
            continue
        if not isinstance(plugin, Plugin):
            faults.append(f"plugin {point.name}: {point.value} is not a core.registry.Plugin; name the manifest there")
        elif plugin.name != point.name:
            faults.append(
                f"plugin {point.name}: its manifest says name={plugin.name!r}; entry point and name must agree"
            )
        else:
            found[point.name] = Mounted(plugin, load_ms=(time.perf_counter() - began) * 1000)
    return found, faults


def _configure(chosen: dict[str, Mounted], environ: Mapping[str, str]) -> None:
    for name, entry in chosen.items():
        if entry.plugin.settings is None:
            continue
        try:
            entry.settings = config.read(entry.plugin.settings, environ, prefix=f"{name}_")
            telemetry.hide_settings(entry.settings)
        except BootError as exc:
            entry.state, entry.reason = "off", "\n".join(f"plugin {name}: {fault}" for fault in exc.faults)


def _require(chosen: dict[str, Mounted], found: dict[str, Mounted]) -> None:
    """Switch off whatever misses a requirement, and then whatever required that."""
    changed = True
    while changed:
        changed = False
        for name, entry in chosen.items():
            for wanted in entry.plugin.requires:
                if entry.state == "off" or (wanted in chosen and chosen[wanted].state == "on"):
                    continue
                if wanted in chosen:
                    cure = "which is off: see its own line"
                elif wanted in found:
                    cure = f"which is not switched on; add {wanted} to PLUGINS or take {name} out"
                else:
                    cure = "which is not installed; install it or switch this plugin off with PLUGINS"
                entry.state, entry.reason = "off", f"plugin {name}: requires {wanted}, {cure}"
                changed = True


def _double_providers(entries: Iterable[Mounted]) -> list[str]:
    holders: dict[type, str] = {}
    faults = []
    for entry in entries:
        for contract in entry.plugin.provides:
            first = holders.setdefault(contract, entry.plugin.name)
            if contract in ONE and first != entry.plugin.name:
                faults.append(
                    f"plugins {first} and {entry.plugin.name}: both provide {contract.__name__}, which has one answer;"
                    " switch one of them off with PLUGINS"
                )
    return faults


def _ordered(chosen: dict[str, Mounted]) -> list[Mounted]:
    """Depth first over requires and after, alphabetical otherwise, so that the order is the same everywhere."""
    ordered: dict[str, Mounted] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        if name in path:
            circle = " → ".join([*path[path.index(name) :], name])
            raise BootError(f"plugin {name}: requires and after go in a circle: {circle}; remove one of these")
        path.append(name)
        plugin = chosen[name].plugin
        for earlier in sorted({*plugin.requires, *plugin.after}):
            if earlier in chosen and chosen[earlier].state == "on":
                visit(earlier)
        path.pop()
        ordered[name] = chosen[name]

    for name in sorted(chosen):
        if chosen[name].state == "on":
            visit(name)
    return list(ordered.values())


def describe(exc: BaseException) -> str:
    """An import failure in one line: what, and in which file when it is the author's."""
    if isinstance(exc, SyntaxError):
        return f"SyntaxError: {exc.msg} ({exc.filename}, line {exc.lineno}); correct the file"
    if isinstance(exc, ModuleNotFoundError):
        return f"no module named {exc.name!r}; install it, or correct the import"
    return f"{type(exc).__name__}: {exc}"
