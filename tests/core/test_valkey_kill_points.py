"""Valkey may be killed at any call: before it, before its reply is read, right after. Whoever called goes on by itself.

The points are those at which processes die, and so are found in the code (``test_kill_points``). Here each is met once,
the step of the pump at every moment; ``tests/soak/test_valkey_kills.py`` meets all of them at every moment.
"""

from __future__ import annotations

from itertools import cycle

import pytest
from grounds import MOMENTS
from kill_points import CALLS, ENQUEUERS, QUEUE, WORKERS
from mortal_valkey import Mortal, each_once, mortal_board, mortal_ctx, valkey
from mortal_work import a_call_is_done_or_not_begun, jobs_are_enqueued, mortal, open_mortal, work_goes_on

__all__ = ["mortal", "mortal_board", "mortal_ctx", "open_mortal", "valkey"]


def test_whoever_runs_jobs_bears_a_server_that_is_killed_at_any_call(mortal: Mortal) -> None:
    work_goes_on(mortal, each_once(*WORKERS, whole=f"{QUEUE}/leased.py:Leased.step"))


def test_whoever_enqueues_loses_nothing_whenever_the_server_is_killed(mortal: Mortal) -> None:
    jobs_are_enqueued(mortal, each_once(*ENQUEUERS))


@pytest.mark.parametrize(("site", "moment"), list(zip(CALLS, cycle(MOMENTS), strict=False)))
def test_a_call_is_done_or_not_begun_when_the_server_is_killed(mortal: Mortal, site: str, moment: str) -> None:
    a_call_is_done_or_not_begun(mortal, site, moment)
