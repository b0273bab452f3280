"""What is tried with Huey's own API while Valkey dies, whatever the points and moments, as ``mortal_work`` has it."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest
from flask import Flask
from grounds import MOMENTS
from huey_points import ADOPTER, HOLDERS, QUEUE, STEP, Wanted, all_is_done, done, done_or_not_begun, nothing_is_left
from huey_shop import shop
from mortal_valkey import Mortal, Strike, opened_on
from throwaway import eventually

from core.ops.servers import Valkey

NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - Huey's times have no zone


@pytest.fixture(scope="module")
def open_shop(valkey: Valkey) -> Iterator[Mortal]:
    with opened_on(valkey, "huey_ground") as made:
        yield made


@pytest.fixture
def mortal_shop(mortal_ctx: Flask, open_shop: Mortal) -> Iterator[Mortal]:
    yield open_shop
    shop.storage.close()


def tasks_are_run(mortal: Mortal, strikes: Sequence[Strike]) -> None:
    """Before each, a consumer dies in the middle of a task, so that there is something to take back."""
    wanted = Wanted()
    for strike in strikes:
        wanted.some()
        assert mortal.ground("consumer", "the task") == -signal.SIGKILL
        came = mortal.kill(strike.point.role, strike.point.site, strike.nth, strike.moment)
        assert came == 0, f"the consumer did not bear it: {strike}"
    assert mortal.ground("idle_consumer") == 0
    all_is_done(wanted, len(strikes), 2 * len(strikes))


def tasks_never_on_the_queue_are_ours_or_not_begun(mortal: Mortal, moments: Sequence[str] = MOMENTS) -> None:
    kills = [(site, moment) for site in (ADOPTER, STEP) for moment in moments]
    for number, (site, moment) in enumerate(kills):
        mortal.kill("executor", site, 1, moment, number=number)
    assert mortal.ground("idle_consumer") == 0
    found = done()
    leased = {number for number, (site, moment) in enumerate(kills) if site == STEP or moment in ("unread", "after")}
    assert leased <= set(found), "what was leased is done"
    assert set(found.values()) <= {1, 2}
    assert nothing_is_left()


def locks_lapse_or_are_let_go(mortal: Mortal, moments: Sequence[str] = MOMENTS) -> None:
    kills = [(point, moment) for point in HOLDERS for moment in moments]
    for number, (point, moment) in enumerate(kills):
        mortal.kill(point.role, point.site, 1, moment, lock=f"lock {number}")
    for number in range(len(kills)):
        eventually(lambda lock=f"lock {number}": not shop.is_locked(lock))
    assert mortal.ground("holder", lock="lock 0") == 0, "and can be had"


def periodic_tasks_come_once_a_minute(mortal: Mortal, moments: Sequence[str] = MOMENTS) -> None:
    """Whoever could not enqueue them says so in its log, and the others do it."""
    for minute, moment in enumerate(moments):
        at = (NOON + timedelta(minutes=minute)).isoformat()
        assert mortal.kill("scheduler", f"{QUEUE}/leased.py:Leased.push", 1, moment, at=at) == 0
        for _ in range(2):
            assert mortal.ground("scheduler", at=at) == 0
        assert shop.pending_count() == minute + 1


def a_call_of_the_storage_is_done_or_not_begun(mortal: Mortal, site: str, moment: str) -> None:
    done_or_not_begun(mortal.ground, mortal.kill, site, moment)
