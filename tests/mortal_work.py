"""What is tried while Valkey dies, whatever the points and moments: work is done, jobs are enqueued, calls are made."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from flask import Flask
from kill_points import SIZE, TASKS, all_is_done, done, done_or_not_begun, nothing_is_left, schedule, some
from mortal_valkey import Mortal, Strike, opened_on
from throwaway import install

from core.data import sweeping
from core.ops.servers import Valkey


@pytest.fixture(scope="module")
def open_mortal(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    environ = install(tmp_path_factory.mktemp("plugin"), "chores", tasks=TASKS)
    with opened_on(valkey, "killing_ground", WORKER_CONCURRENCY=str(SIZE), **environ) as made:
        yield made


@pytest.fixture
def mortal(mortal_ctx: Flask, open_mortal: Mortal) -> Mortal:
    return open_mortal


def work_goes_on(mortal: Mortal, strikes: Sequence[Strike]) -> None:
    """Before each, a worker dies in the middle of a task, so that there is something to take back."""
    wanted: list[int] = []
    for strike in strikes:
        wanted += some(len(wanted) * 2)
        assert mortal.ground("worker", "the task") == -signal.SIGKILL
        came = mortal.kill(strike.point.role, strike.point.site, strike.nth, strike.moment)
        assert came == 0, f"the worker did not bear it: {strike}"
    assert mortal.ground("idle_worker") == 0
    all_is_done(wanted, len(strikes), 2 * len(strikes))


def jobs_are_enqueued(mortal: Mortal, strikes: Sequence[Strike]) -> None:
    """Whoever enqueues notices nothing: what the queue did not get stays in the outbox."""
    wanted: list[int] = []
    for strike in strikes:
        numbers = list(range(len(wanted), len(wanted) + 5))
        if strike.point.role == "scheduler":
            schedule(numbers)
        assert mortal.kill(strike.point.role, strike.point.site, strike.nth, strike.moment, numbers=numbers) == 0
        wanted += numbers
    sweeping.sweep(settled=timedelta(0))
    assert mortal.ground("idle_worker") == 0
    assert done() == Counter(wanted), "each once: what is handed over twice is put on the queue once"
    assert nothing_is_left()


def a_call_is_done_or_not_begun(mortal: Mortal, site: str, moment: str) -> None:
    done_or_not_begun(mortal.ground, mortal.kill, site, moment)
