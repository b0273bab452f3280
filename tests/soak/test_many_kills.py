"""20,000 jobs, three workers, fifty kills: each job is done, and few are done twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from job_kills import SIZE, killing

from core.background.queue import contents
from core.background.queue.leased import LEASE
from core.ops.processes import Process


@pytest.mark.timeout(900)
def test_every_job_is_done_however_often_its_workers_are_killed(
    process: Callable[..., Process], ctx: Flask, tmp_path: Path
) -> None:
    came = killing(process, tmp_path, jobs=20_000, kills=50, workers=3)
    assert came.kills == 50, "the jobs were over too soon"
    assert set(came.done) == set(range(20_000))
    twice = sum(came.done.values()) - 20_000
    print(f"{twice} of 20,000 were done twice, {came.recovered:.1f} s after the last kill nothing was left")
    assert twice <= came.kills * SIZE
    assert list(contents.dead()) == []
    assert came.recovered < LEASE + 5 + 60, "and the rest of the jobs, which take their time"
