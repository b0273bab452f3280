"""Events: told after the commit, to everybody who listens; what must not be lost goes through the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest
from flask import Flask
from handover import scheduled
from shelf import services
from shelf.api import BookAdded

from core.background.events import MAX_DEPTH, Listeners, emit, on
from core.background.queue import contents
from core.contracts import SYSTEM
from core.data.models import new_id
from core.data.unit import in_steps, unit, unit_or_none
from core.trust.identity import acting_as

RunJobs = Callable[[], int]


class Rang(msgspec.Struct, frozen=True):
    times: int = 1


class Echoed(msgspec.Struct, frozen=True):
    times: int = 1


class Ears:
    """Listeners of one test, heard by the web's and the worker's board in place of all others."""

    def __init__(self, *apps: Flask) -> None:
        self.apps = apps
        self.heard: list[Any] = []

    def add(self, *functions: Callable[..., Any], plugin: str = "ears") -> None:
        module = ModuleType(__name__)
        for function in functions:
            setattr(module, function.__name__, function)
        for app in self.apps:
            app.extensions["pegboard.listeners"].add(plugin, module)


@pytest.fixture
def ears(ctx: Flask, worker_app: Flask) -> Iterator[Ears]:
    apps = (ctx, worker_app)
    before = [app.extensions["pegboard.listeners"] for app in apps]
    for app in apps:
        app.extensions["pegboard.listeners"] = Listeners()
    with acting_as(SYSTEM):
        yield Ears(*apps)
    for app, listeners in zip(apps, before, strict=True):
        app.extensions["pegboard.listeners"] = listeners


def marks() -> list[str]:
    with unit():
        return services.marks()


# -- when -----------------------------------------------------------------------------------------------------------


def test_listeners_hear_after_the_commit_each_in_a_unit_of_its_own(ears: Ears) -> None:
    @on(Rang)
    def first(event: Rang) -> None:
        ears.heard.append(("first", event, unit_or_none()))
        services.leave_mark("first")

    @on(Rang)
    def second(event: Rang) -> None:
        ears.heard.append(("second", event, unit_or_none()))

    ears.add(first, second)
    with unit() as work:
        emit(Rang(3))
        assert ears.heard == []
    assert [(who, event) for who, event, _ in ears.heard] == [("first", Rang(3)), ("second", Rang(3))]
    units = [there for _, _, there in ears.heard]
    assert None not in units
    assert len({id(there) for there in (work, *units)}) == 3
    assert marks() == ["first"]


def test_outside_a_unit_they_hear_at_once(ears: Ears) -> None:
    @on(Rang)
    def listener(event: Rang) -> None:
        ears.heard.append(event)

    ears.add(listener)
    emit(Rang())
    assert ears.heard == [Rang()]


def test_a_rollback_tells_nobody(ears: Ears, run_jobs: RunJobs) -> None:
    @on(Rang)
    def plain(event: Rang) -> None:
        ears.heard.append(event)

    @on(Rang, durable=True)
    def durable(event: Rang) -> None:
        ears.heard.append(event)

    ears.add(plain, durable)
    with pytest.raises(ZeroDivisionError), unit():
        emit(Rang())
        raise ZeroDivisionError
    assert run_jobs() == 0
    assert ears.heard == []


def test_an_event_without_listeners_costs_nothing(ears: Ears) -> None:
    emit(Rang())
    with unit() as work:
        emit(Rang())
        assert work.after == []


# -- failing --------------------------------------------------------------------------------------------------------


def test_a_failing_listener_is_logged_and_stops_nobody(ears: Ears, caplog: pytest.LogCaptureFixture) -> None:
    @on(Rang)
    def fails(event: Rang) -> None:
        services.leave_mark("undone")
        raise RuntimeError("deaf")

    @on(Rang)
    def hears(event: Rang) -> None:
        ears.heard.append(event)

    ears.add(fails, plugin="clumsy")
    ears.add(hears)
    with unit():
        services.leave_mark("kept")
        emit(Rang())
    assert ears.heard == [Rang()]
    assert marks() == ["kept"]
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (line.message, line.plugin, line.listener, line.event) == (  # type: ignore[attr-defined]
        "a listener failed, and nobody else noticed: correct it; mark it durable=True if its work must be done",
        "clumsy",
        "clumsy.fails",
        "Rang",
    )
    assert "deaf" in caplog.text


def test_a_listener_in_steps_opens_its_own_units(ears: Ears) -> None:
    @on(Rang)
    @in_steps
    def steps(event: Rang) -> None:
        assert unit_or_none() is None
        with unit():
            services.leave_mark("a step")

    ears.add(steps)
    emit(Rang())
    assert marks() == ["a step"]


# -- durable --------------------------------------------------------------------------------------------------------


def test_a_durable_listener_runs_in_a_worker_and_is_retried(ears: Ears, run_jobs: RunJobs) -> None:
    @on(Rang, durable=True)
    def listener(event: Rang) -> None:
        ears.heard.append((event, unit_or_none() is not None))
        if len(ears.heard) == 1:
            raise RuntimeError("once")

    ears.add(listener)
    with unit():
        emit(Rang(5))
    assert ears.heard == []
    assert run_jobs() == 1
    [again] = scheduled()
    assert (again.kind, again.name, again.attempt) == ("listener", "ears.listener", 2)
    assert contents.run_now() == 1
    assert run_jobs() == 1
    assert ears.heard == [(Rang(5), True), (Rang(5), True)]
    assert scheduled() == []


def test_an_event_that_no_longer_fits_its_durable_listener_fails_for_good(
    ears: Ears, run_jobs: RunJobs, caplog: pytest.LogCaptureFixture
) -> None:
    @on(Rang, durable=True)
    def listener(event: Rang) -> None:
        ears.heard.append(event)

    ears.add(listener)
    emit(Rang("three"))  # type: ignore[arg-type]
    assert run_jobs() == 1
    assert ears.heard == []
    assert scheduled() == []
    assert "job failed" in caplog.text


def test_the_sample_plugin_end_to_end(ctx: Flask, run_jobs: RunJobs, caplog: pytest.LogCaptureFixture) -> None:
    with acting_as(SYSTEM):
        emit(BookAdded(new_id(), "trip"))
        assert marks() == ["saw trip"]
        assert "shelf.trip" in [getattr(record, "listener", None) for record in caplog.records]
        assert run_jobs() == 1
    assert marks() == ["saw trip", "remembered trip"]


# -- events that cause events ---------------------------------------------------------------------------------------


def test_a_listener_may_emit_again(ears: Ears) -> None:
    @on(Rang)
    def echo(event: Rang) -> None:
        emit(Echoed(event.times + 1))
        assert ears.heard == [], "its own listeners wait for its own commit"

    @on(Echoed)
    def hear(event: Echoed) -> None:
        ears.heard.append(event)

    ears.add(echo, hear)
    with unit():
        emit(Rang(1))
    assert ears.heard == [Echoed(2)]


@pytest.mark.parametrize("durable", [False, True])
def test_a_circle_of_listeners_ends(
    ears: Ears, run_jobs: RunJobs, caplog: pytest.LogCaptureFixture, durable: bool
) -> None:
    def again(event: Rang) -> None:
        ears.heard.append(event.times)
        emit(Rang(event.times + 1))

    ears.add(on(Rang, durable=durable)(again))
    emit(Rang(1))
    assert run_jobs() == (MAX_DEPTH if durable else 0)
    assert ears.heard == list(range(1, MAX_DEPTH + 1))
    assert "its listeners go in a circle" in caplog.text
    ears.heard.clear()
    emit(Rang(MAX_DEPTH))
    run_jobs()
    assert ears.heard[0] == MAX_DEPTH, "the next event begins at the beginning"
