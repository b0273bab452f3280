"""Who answers which contract on this board; ``core.contracts`` is where others import this from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import current_app

T = TypeVar("T")


class Services:
    """Who answers which contract on this board; filled at boot, implementations made on first use."""

    def __init__(self) -> None:
        self._makers: dict[type, dict[str, Callable[[], Any]]] = {}
        self._made: dict[tuple[type, str], Any] = {}

    def provide(self, contract: type, name: str, maker: Callable[[], Any]) -> None:
        self._makers.setdefault(contract, {})[name] = maker

    def providers(self, contract: type) -> tuple[str, ...]:
        return tuple(self._makers.get(contract, ()))

    def contracts(self) -> tuple[type, ...]:
        return tuple(self._makers)

    def get(self, contract: type, name: str) -> Any:
        key = (contract, name)
        if key not in self._made:
            self._made[key] = self._makers[contract][name]()
        return self._made[key]


def service(contract: type[T]) -> T:
    """The one implementation of ``contract`` on this board: a plugin's, or the board's stand-in."""
    table: Services = current_app.extensions["pegboard.services"]
    names = table.providers(contract)
    if not names:
        raise LookupError(f"nothing answers {contract.__name__}: no installed plugin provides it")
    return cast(T, table.get(contract, names[-1]))


def services(contract: type[T]) -> dict[str, T]:
    """Every implementation of ``contract``, by plugin name; empty when there is none."""
    table: Services = current_app.extensions["pegboard.services"]
    return {name: cast(T, table.get(contract, name)) for name in table.providers(contract)}
