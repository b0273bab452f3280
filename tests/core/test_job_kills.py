from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from job_kills import killing

from core.background.queue import contents
from core.background.queue.leased import LEASE
from core.ops.processes import Process


@pytest.mark.timeout(180)
def test_every_job_is_done_however_often_its_workers_are_killed(
    process: Callable[..., Process], ctx: Flask, tmp_path: Path
) -> None:
    came = killing(process, tmp_path, jobs=1000, kills=10)
    assert set(came.done) == set(range(1000))
    assert sum(came.done.values()) - 1000 <= came.held, "twice at most what was in hand at a kill"
    assert list(contents.dead()) == []
    assert came.recovered < LEASE + 5 + 10, "and the rest of the jobs, which take their time"
