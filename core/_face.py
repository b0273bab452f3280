"""Faces: a package's ``__init__`` that names what is inside and imports it on first use (PEP 562).

if TYPE_CHECKING:
    from core.data.unit import unit
__getattr__, __dir__, __all__ = face(__name__, {"unit": "core.data.unit:unit"})
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


def face(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` for a package; ``names`` maps a name to ``"module:attribute"``."""
    module = sys.modules[package]

    def __getattr__(name: str) -> Any:
        try:
            target = names[name]
        except KeyError:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module) from None
        value = _load(target)
        # Found from here on without asking again.
        setattr(module, name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(module), *names})

    shadowed = {name for name, target in names.items() if target.partition(":")[0] == f"{package}.{name}"}
    if shadowed:
        _keep_names(module, names, shadowed)
    return __getattr__, __dir__, sorted(names)


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _keep_names(module: ModuleType, names: Mapping[str, str], shadowed: set[str]) -> None:
    """Keep a name that its own submodule shares.

    When Python has imported ``core.data.unit`` it binds the module to ``core.data``, under the name ``unit`` that
    this face gives to a function; so the package's class is one that binds the function instead. The module itself is
    then reached by ``from core.data.unit import …``; ``import core.data.unit as x`` would give the function.
    """

    class Face(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            if name in shadowed and isinstance(value, ModuleType):
                value = getattr(value, names[name].partition(":")[2])
            super().__setattr__(name, value)

    module.__class__ = Face
