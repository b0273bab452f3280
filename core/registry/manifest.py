"""What a plugin says of itself: data, cheap to import, without side effects."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flask import current_app

from core import API
from core.contracts import MANY, ONE
from core.registry import addresses

NAME = re.compile(r"^[a-z][a-z0-9]{1,19}$")
EVERY_PART = ("models", "documents", "views", "sockets", "tasks", "listeners", "duties", "cli")
LISTS = ("requires", "after", "permissions", "public_paths")
COMMANDS = frozenset({"audit", "db", "doctor", "plugins", "routes", "run", "secrets", "shell"})
"""What `flask` does without any plugin; a plugin's own commands stand beside these, under its name."""
RESERVED = frozenset({"core", "notifications", "pg", *COMMANDS, *addresses.KEPT})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plugin:
    """A plugin's manifest, the ``plugin`` in its package's ``__init__``.

    ``name`` is also its entry point and its prefix for URLs, tables and settings. ``requires`` must be on and is
    loaded first; ``after`` is loaded first if it is on. ``settings`` is a frozen dataclass (see ``core.config``).
    ``provides`` maps a contract to ``"module:attribute"``, imported on first use; a contract with many answers also to
    several of them, by names of their own. ``default_grants`` are merged into the built-in roles.
    ``public_paths`` lists routes outside ``/api/<name>``.
    """

    name: str
    package: str
    api: int = API
    requires: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    settings: type | None = None
    provides: Mapping[type, str | Mapping[str, str]] = dataclasses.field(default_factory=dict)
    permissions: tuple[str, ...] = ()
    default_grants: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    public_paths: tuple[str, ...] = ()

    def faults(self) -> Iterator[str]:
        """What is wrong with the manifest alone, one line each."""
        odd = list(self._odd_types())
        if odd:  # what is of another type cannot be looked at any further
            yield from odd
            return
        if not NAME.match(self.name):
            yield f"plugin {self.name!r}: the name must match {NAME.pattern}; rename it and its entry point"
        if self.name in RESERVED:
            yield f"plugin {self.name}: the name is reserved by the board; choose another"
        if self.api != API:
            yield (
                f"plugin {self.name}: written for plugin API {self.api}, this board speaks {API};"
                f" install a release of the plugin made for API {API}"
            )
        if self.settings is not None and not _is_frozen(self.settings):
            told = "settings must be a frozen dataclass"
            if dataclasses.is_dataclass(self.settings) and not isinstance(self.settings, type):
                cls = type(self.settings).__name__
                yield f"plugin {self.name}: {told}, not an instance of one; write settings={cls}"
            else:
                yield f"plugin {self.name}: {told}; declare the class with @dataclass(frozen=True, kw_only=True)"
        for _, _, place in self.answers():
            if not isinstance(place, str) or ":" not in place:
                yield f"plugin {self.name}: provides {place!r}; write it as 'package.module:attribute'"
        for contract, target in self.provides.items():
            if not isinstance(target, str) and contract not in MANY:
                told = f"provides several of {getattr(contract, '__name__', contract)}, which has one answer"
                yield f"plugin {self.name}: {told}; name one"
            if not isinstance(contract, type) or (
                contract.__module__ == "core.contracts" and contract not in (*ONE, *MANY)
            ):
                yield (
                    f"plugin {self.name}: provides {contract!r}, which is not a contract;"
                    " take one of core.contracts, or a Protocol of a plugin's api.py"
                )
        for path in self.public_paths:
            if cure := addresses.path_cure(path):
                yield f"plugin {self.name}: public path {path!r} is not one that a plugin may have; {cure}"

    def answers(self) -> Iterator[tuple[type, str, str]]:
        """What it provides: each contract, the answer's name (the plugin's own unless told), and where it is."""
        for contract, target in self.provides.items():
            named = target if isinstance(target, Mapping) else {self.name: target}
            for name, place in named.items():
                yield contract, name, place

    def _odd_types(self) -> Iterator[str]:
        """Fields that hold something else than they are for; in place of a tuple a text would be its letters."""
        for field in LISTS:
            if not _is_texts(getattr(self, field)):
                told = f"{field} is {getattr(self, field)!r}"
                yield f"plugin {self.name}: {told}; write a tuple of texts, such as {field}=('one',)"
        if not isinstance(self.package, str):
            yield f"plugin {self.name}: package is {self.package!r}; write package=__name__"
        if type(self.api) is not int:
            yield f"plugin {self.name}: api is {self.api!r}; write the number, api={API}"
        if not isinstance(self.provides, Mapping):
            told = f"provides is {self.provides!r}"
            yield f"plugin {self.name}: {told}; write a dict, such as provides={{Mailer: 'package.module:attribute'}}"
        granted = self.default_grants
        if not isinstance(granted, Mapping) or not all(
            isinstance(role, str) and _is_texts(permissions) for role, permissions in granted.items()
        ):
            told = f"default_grants is {granted!r}; write a dict of tuples"
            yield f"plugin {self.name}: {told}, such as default_grants={{'user': ('word:read',)}}"


def _is_texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, str) for each in value)


def _is_frozen(settings: Any) -> bool:
    parameters = getattr(settings, "__dataclass_params__", None)
    return isinstance(settings, type) and bool(parameters and parameters.frozen)


def settings_of(name: str) -> Any:
    """The settings of a plugin on the running board, an instance of its manifest's ``settings`` class."""
    return current_app.extensions["pegboard.registry"].settings_of(name)
