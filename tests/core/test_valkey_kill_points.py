"""Valkey may be killed at any call: before it, before its reply is read, right after. Whoever called goes on by itself.

The points are those at which processes die, and so are found in the code (``test_kill_points``). Here each is met once,
the step of the pump at every moment; ``tests/soak/test_valkey_kills.py`` meets all of them at every moment.
"""

from __future__ import annotations

from itertools import cycle

import huey_points
from grounds import MOMENTS
from kill_points import CALLS, ENQUEUERS, QUEUE, WORKERS
from mortal_huey import (
    a_call_of_the_storage_is_done_or_not_begun,
    locks_lapse_or_are_let_go,
    mortal_shop,
    open_shop,
    periodic_tasks_come_once_a_minute,
    tasks_are_run,
    tasks_never_on_the_queue_are_ours_or_not_begun,
)
from mortal_valkey import Mortal, each_once, mortal_board, mortal_ctx, valkey
from mortal_work import a_call_is_done_or_not_begun, jobs_are_enqueued, mortal, open_mortal, work_goes_on

__all__ = ["mortal", "mortal_board", "mortal_ctx", "mortal_shop", "open_mortal", "open_shop", "valkey"]


def test_whoever_runs_jobs_bears_a_server_that_is_killed_at_any_call(mortal: Mortal) -> None:
    work_goes_on(mortal, each_once(*WORKERS, whole=f"{QUEUE}/leased.py:Leased.step"))


def test_whoever_enqueues_loses_nothing_whenever_the_server_is_killed(mortal: Mortal) -> None:
    jobs_are_enqueued(mortal, each_once(*ENQUEUERS))


def test_a_call_is_done_or_not_begun_when_the_server_is_killed(mortal: Mortal) -> None:
    for site, moment in zip(CALLS, cycle(MOMENTS), strict=False):
        a_call_is_done_or_not_begun(mortal, site, moment)


def test_whoever_runs_tasks_of_hueys_bears_it_too(mortal_shop: Mortal) -> None:
    tasks_are_run(mortal_shop, each_once(*huey_points.RUNNERS))


def test_tasks_locks_and_minutes_of_hueys_bear_it_too(mortal_shop: Mortal) -> None:
    tasks_never_on_the_queue_are_ours_or_not_begun(mortal_shop, ["unread"])
    locks_lapse_or_are_let_go(mortal_shop, ["unread"])
    periodic_tasks_come_once_a_minute(mortal_shop, ["unread"])


def test_a_call_of_the_storage_is_done_or_not_begun_when_the_server_is_killed(mortal_shop: Mortal) -> None:
    for site, moment in zip(huey_points.CALLS, cycle(MOMENTS), strict=False):
        a_call_of_the_storage_is_done_or_not_begun(mortal_shop, site, moment)
