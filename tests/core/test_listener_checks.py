"""Listeners that cannot hear: refused as the board boots, by name and with the cure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest

from core.background.events import Listeners, on
from core.errors import BootError


class Rang(msgspec.Struct, frozen=True):
    times: int = 1


class Echoed(msgspec.Struct, frozen=True):
    times: int = 1


def test_what_is_no_event_or_no_single_event_stops_the_boot() -> None:
    class Thawed(msgspec.Struct):
        n: int = 0

    with pytest.raises(BootError, match=r"class Thawed\(Struct, frozen=True\)"):
        on(Thawed)
    with pytest.raises(BootError, match="is no event"):
        on(dict)  # type: ignore[arg-type]
    with pytest.raises(BootError, match="listens twice"):

        @on(Rang)
        @on(Echoed)
        def both(event: Any) -> None: ...

    with pytest.raises(BootError, match=r"both: @on names no event; write @on\(TheEvent\)"):

        @on  # type: ignore[arg-type]
        def both() -> None: ...


def _nothing() -> None: ...


def _two(one: Any, other: Any) -> None: ...


def _another(event: Echoed) -> None: ...


async def _waits(event: Rang) -> None: ...


def _yields(event: Rang) -> Iterator[None]:
    yield


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_nothing, "takes nothing, and is called with the event; change its parameters"),
        (_two, "takes one, other, and is called with the event"),
        (_another, "listens to Rang, and its parameter is annotated Echoed; correct the annotation, or @on(…)"),
        (_waits, "is async, and nothing here would await it"),
        (_yields, "has a yield, so that a call of it does nothing"),
    ],
)
def test_a_listener_that_cannot_hear_is_named_with_the_cure(
    function: Callable[..., Any], told: str, durable: bool
) -> None:
    module = ModuleType(__name__)
    module.hear = on(Rang, durable=durable)(function)  # type: ignore[attr-defined]
    try:
        with pytest.raises(BootError) as caught:
            Listeners().add("ears", module)
    finally:
        del function.__listens__  # type: ignore[attr-defined]
    [fault] = caught.value.faults
    assert fault.startswith(f"plugin ears: {__name__}:hear {told}")


def test_a_listener_may_ask_for_what_its_event_is_too() -> None:
    module = ModuleType(__name__)

    def hear(event: msgspec.Struct, *, twice: bool = False) -> None: ...

    module.hear = on(Rang)(hear)  # type: ignore[attr-defined]
    heard = Listeners()
    heard.add("ears", module)
    assert len(heard.of(Rang)) == 1
