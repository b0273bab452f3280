"""What two plugins cannot both have: the answer to one contract, a public path, a variable of the environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Protocol

from core.config import SHARED_VARIABLES, variables
from core.contracts import ONE
from core.registry.addresses import first_word
from core.registry.manifest import Plugin


class Holder(Protocol):
    plugin: Plugin


def provider_faults(plugins: Iterable[Plugin]) -> list[str]:
    """Contracts with one answer that two plugins provide, and answers of one name."""
    holders: dict[type, str] = {}
    named: dict[tuple[type, str], str] = {}
    faults = []
    for plugin in plugins:
        for contract, name, _ in plugin.answers():
            first = named.setdefault((contract, name), plugin.name)
            if first != plugin.name:
                told = f"both provide {contract.__name__} as {name!r}"
                faults.append(f"plugins {first} and {plugin.name}: {told}; give one of them another name")
        for contract in plugin.provides:
            first = holders.setdefault(contract, plugin.name)
            if contract in ONE and first != plugin.name:
                faults.append(
                    f"plugins {first} and {plugin.name}: both provide {contract.__name__}, which has one answer;"
                    " switch one of them off with PLUGINS"
                )
    return faults


def path_faults(plugins: Iterable[Plugin]) -> list[str]:
    """Routes outside ``/api/<plugin>`` that two plugins claim, or that lie under another's prefix."""
    plugins = list(plugins)
    names = {plugin.name for plugin in plugins}
    holders: dict[str, str] = {}
    under = [
        f"plugin {plugin.name}: public path {path!r} lies under /{word}, which is plugin {word}'s; choose another"
        for plugin in plugins
        for path in plugin.public_paths
        if (word := first_word(path)) in names - {plugin.name}
    ]
    return under + [
        f"plugins {holders[path]} and {plugin.name}: both claim the public path {path}; switch one of them off"
        for plugin in plugins
        for path in plugin.public_paths
        if holders.setdefault(path, plugin.name) != plugin.name
    ]


def variable_faults(chosen: Mapping[str, Holder]) -> list[str]:
    """Variables that fill the settings of two plugins, or, by the plugin's name alone, one of the board's own."""
    holders: dict[str, str] = {}
    faults = []
    for name, entry in chosen.items():
        if not dataclasses.is_dataclass(entry.plugin.settings):
            continue
        for field, variable in variables(entry.plugin.settings, f"{name}_"):
            named = bool(field.metadata.get("env"))
            first = holders.setdefault(variable, name)
            if variable in SHARED_VARIABLES:
                if not named:
                    faults.append(
                        f"plugin {name}: its setting {field.name!r} would be filled from {variable}, which is the"
                        " board's; call it something else, or read core.config.settings()"
                    )
            elif first != name:
                own = f"{name}_{field.name}".upper()
                faults.append(
                    f"plugins {first} and {name}: both name the variable {variable}, which is not one of the board's"
                    f" shared ones; give one of them its own, such as env({own!r})"
                )
    return faults
