"""Finding plugins: entry points, which of them are on, in which order, with which settings."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import time
from collections.abc import Container, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Literal

from core import config, telemetry
from core.errors import BootError
from core.registry import clashes, in_place, side_effects
from core.registry.blame import describe
from core.registry.manifest import EVERY_PART, Plugin
from core.settings_reading import Misdeclared

GROUP = "pegboard.plugins"


@dataclasses.dataclass
class Mounted:
    """A plugin on this board: its manifest, settings, imported parts and how it fared."""

    plugin: Plugin
    point: EntryPoint | None = None
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
    found, broken = _manifests(board.plugins, environ)
    chosen = {name: entry for name, entry in found.items() if not board.plugins or name in board.plugins}
    there = sorted({*found, *broken})
    faults = [fault for lines in broken.values() for fault in lines]
    faults += [
        f"PLUGINS names {name!r}, which is not installed; installed are: {', '.join(there) or 'none'}"
        for name in board.plugins
        if name not in there
    ]
    faults += clashes.variable_faults(chosen)
    faults += _configure(chosen, environ)
    _require(chosen, found, broken)
    left_out = [entry for entry in chosen.values() if entry.state == "off"]
    if left_out and not board.plugins_lenient:
        faults += [line for entry in left_out for line in entry.reason.splitlines()]
    on = [entry.plugin for entry in chosen.values() if entry.state == "on"]
    faults += clashes.provider_faults(on) + clashes.path_faults(on)
    try:
        ordered = _ordered(chosen)
    except BootError as exc:
        faults += exc.faults
    if faults:
        raise BootError(*faults)
    return Registry([*ordered, *left_out])


def installed() -> list[EntryPoint]:
    """Every plugin that could be switched on, by name; a name that two distributions claim is there twice."""
    points = [*entry_points(group=GROUP), *in_place.points(GROUP)]
    return sorted(points, key=lambda point: (point.name, point.value))


def _manifests(wanted: tuple[str, ...], environ: Mapping[str, str]) -> tuple[dict[str, Mounted], dict[str, list[str]]]:
    """What is installed, by name: manifests, and the faults of those that are none or break the rules.

    Those that ``wanted`` leaves out are not imported.
    """
    found: dict[str, Mounted] = {}
    broken: dict[str, list[str]] = {}
    points: dict[str, EntryPoint] = {}
    for point in installed():
        name = point.name
        if wanted and name not in wanted:
            found.setdefault(name, Mounted(Plugin(name=name, package=module_of(point)), point))
        elif name not in points:
            points[name] = point
            began = time.perf_counter()
            plugin, faults = _load(point, environ)
            if plugin is not None and not faults:
                found[name] = Mounted(plugin, point, load_ms=(time.perf_counter() - began) * 1000)
            else:
                broken[name] = faults
        elif points[name].value != point.value:
            broken.setdefault(name, []).append(
                f"plugin {name}: declared twice, by {_origin(points[name])} and by {_origin(point)};"
                " uninstall one of the two"
            )
            found.pop(name, None)
    return found, broken


def _load(point: EntryPoint, environ: Mapping[str, str]) -> tuple[Plugin | None, list[str]]:
    """Import one manifest, and what is wrong with it, one line each."""
    name, module = point.name, module_of(point)
    if not point.pattern.match(point.value):
        told = f"its entry point {point.value!r} cannot be read; write it as 'package:plugin'"
        return None, [f"plugin {name}: {told}"]
    before = side_effects.look(environ) if module not in sys.modules else None
    try:
        plugin: Any = importlib.import_module(module)
    except (Exception, SystemExit) as exc:
        return None, [f"plugin {name}: {module} cannot be imported: {describe(exc, module)}"]
    for attribute in point.attr.split(".") if point.attr else ():
        if not hasattr(plugin, attribute):
            told = f"{module} has no {point.attr!r}, which its entry point {point.value} names"
            return None, [f"plugin {name}: {told}; put the manifest there, or correct the entry point"]
        plugin = getattr(plugin, attribute)
    if not isinstance(plugin, Plugin):
        return None, [f"plugin {name}: {point.value} is not a core.registry.Plugin; name the manifest there"]
    if plugin.name != name:
        said = f"its manifest says name={plugin.name!r}"
        return None, [f"plugin {name}: {said}; entry point and name must agree"]
    faults = list(plugin.faults())
    if faults:
        return plugin, faults
    if not hasattr(sys.modules.get(plugin.package), "__path__"):
        faults.append(
            f"plugin {name}: package={plugin.package!r} is no package that could hold its parts;"
            " write package=__name__ in the package's __init__.py"
        )
    elif not f"{module}.".startswith(f"{plugin.package}."):
        faults.append(
            f"plugin {name}: package={plugin.package!r} is not where its manifest is, which is {module};"
            " write package=__name__ there"
        )
    if before is not None:
        after = side_effects.look(environ)
        faults += side_effects.faults(name, plugin.package, before, after, (*EVERY_PART, "services", "gateways"))
    return plugin, faults


def module_of(point: EntryPoint) -> str:
    """The module that an entry point names; whatever stands there where none can be read."""
    return point.value.partition(":")[0].strip()


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} ({point.value})" if point.dist else point.value


def _configure(chosen: dict[str, Mounted], environ: Mapping[str, str]) -> list[str]:
    """Fill the settings; a plugin without what it needs is off. Answers the mistakes in the classes themselves."""
    mistakes = []
    for name, entry in chosen.items():
        cls = entry.plugin.settings
        if cls is None:
            continue
        try:
            entry.settings = config.read(cls, environ, prefix=f"{name}_")
            telemetry.hide_settings(entry.settings)
        except BootError as exc:
            entry.state, entry.reason = "off", "\n".join(f"plugin {name}: {fault}" for fault in exc.faults)
        except Misdeclared as exc:
            mistakes.append(f"plugin {name}: {cls.__module__}.{cls.__qualname__}: {exc}")
        except (Exception, SystemExit) as exc:
            told = describe(exc, entry.plugin.package)
            mistakes.append(f"plugin {name}: {cls.__module__}.{cls.__qualname__} cannot be filled: {told}")
    return mistakes


def _require(chosen: dict[str, Mounted], found: Container[str], broken: Container[str]) -> None:
    """Switch off whatever misses a requirement, and then whatever required that."""
    changed = True
    while changed:
        changed = False
        for name, entry in chosen.items():
            for wanted in entry.plugin.requires:
                if entry.state == "off" or (wanted in chosen and chosen[wanted].state == "on"):
                    continue
                if wanted in chosen or wanted in broken:
                    cure = "which is off: see its own line"
                elif wanted in found:
                    cure = f"which is not switched on; add {wanted} to PLUGINS or take {name} out"
                else:
                    cure = "which is not installed; install it or switch this plugin off with PLUGINS"
                entry.state, entry.reason = "off", f"plugin {name}: requires {wanted}, {cure}"
                changed = True


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
