"""Valkey is killed at every call to it that is known, at each of its moments, the first, second … time."""

from __future__ import annotations

import pytest
from grounds import LEASE, MOMENTS
from huey_points import CALLS as STORAGE_CALLS, RUNNERS
from kill_points import CALLS, ENQUEUERS, WORKERS
from mortal_huey import (
    a_call_of_the_storage_is_done_or_not_begun,
    locks_lapse_or_are_let_go,
    mortal_shop,
    open_shop,
    periodic_tasks_come_once_a_minute,
    tasks_are_run,
    tasks_never_on_the_queue_are_ours_or_not_begun,
)
from mortal_valkey import Mortal, every, mortal_board, mortal_ctx, valkey
from mortal_work import a_call_is_done_or_not_begun, jobs_are_enqueued, mortal, open_mortal, work_goes_on

__all__ = ["mortal", "mortal_board", "mortal_ctx", "mortal_shop", "open_mortal", "open_shop", "valkey"]


@pytest.mark.timeout(600)
def test_whoever_runs_jobs_bears_a_server_that_is_killed_at_any_call(mortal: Mortal) -> None:
    work_goes_on(mortal, every(*WORKERS))
    print(f"{mortal.kills} kills; with leases of {LEASE} s all was done {mortal.slowest:.1f} s after one, at most")
    assert mortal.slowest < LEASE + 5


@pytest.mark.timeout(300)
def test_whoever_enqueues_loses_nothing_whenever_the_server_is_killed(mortal: Mortal) -> None:
    jobs_are_enqueued(mortal, every(*ENQUEUERS))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("site", CALLS)
def test_a_call_is_done_or_not_begun_when_the_server_is_killed(mortal: Mortal, site: str, moment: str) -> None:
    a_call_is_done_or_not_begun(mortal, site, moment)


@pytest.mark.timeout(600)
def test_whoever_runs_tasks_of_hueys_bears_a_server_that_is_killed_at_any_call(mortal_shop: Mortal) -> None:
    tasks_are_run(mortal_shop, every(*RUNNERS))
    print(f"{mortal_shop.kills} kills; all was done {mortal_shop.slowest:.1f} s after one, at most")
    assert mortal_shop.slowest < LEASE + 5


@pytest.mark.timeout(180)
def test_tasks_locks_and_minutes_of_hueys_bear_it_too(mortal_shop: Mortal) -> None:
    tasks_never_on_the_queue_are_ours_or_not_begun(mortal_shop)
    locks_lapse_or_are_let_go(mortal_shop)
    periodic_tasks_come_once_a_minute(mortal_shop)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("site", STORAGE_CALLS)
def test_a_call_of_the_storage_is_done_or_not_begun_when_the_server_is_killed(
    mortal_shop: Mortal, site: str, moment: str
) -> None:
    a_call_of_the_storage_is_done_or_not_begun(mortal_shop, site, moment)
