"""Real schedulers: several at once, killed, told to end, and without their database."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from flask import Flask
from throwaway import HASTE, eventually, install

from core.background.duties import last_runs
from core.data import redis
from core.ops.processes import Process
from core.ops.testbed import TestServers

StartProcess = Callable[..., Process]


@pytest.fixture
def rota(ctx: Flask, tmp_path: Path) -> dict[str, str]:
    """A plugin with one duty, which notes when it begins and ends."""
    duties = """\
        import os, time
        from core.background import duty
        from core.data import redis

        @duty(every=0.1)
        def walk() -> None:
            redis.client().rpush("rota", f"begins {os.getpid()}")
            time.sleep(0.3)
            redis.client().rpush("rota", f"ends {os.getpid()}")
        """
    return install(tmp_path, "rota", duties=duties, models=HASTE)


def walks() -> list[tuple[str, int]]:
    found: Any = redis.client().lrange("rota", 0, -1)
    return [(word, int(pid)) for word, _, pid in (line.decode().partition(" ") for line in found)]


def test_of_two_schedulers_one_at_a_time_works_and_a_killed_one_lets_go(
    process: StartProcess, rota: dict[str, str]
) -> None:
    one, other = process("scheduler", **rota), process("scheduler", **rota)
    eventually(lambda: len({pid for _, pid in walks()}) == 2)
    eventually(lambda: walks()[-1] == ("begins", one.pid))
    one.kill()
    killed_at = len(walks())
    eventually(lambda: len(walks()) > killed_at + 3)
    # Each begins soon after the start, at a moment of its own.
    eventually(lambda: {"core.outbox_sweep", "core.audit_sealer", "rota.walk"} <= set(last_runs()))
    os.kill(other.pid, signal.SIGTERM)
    assert other.stop() == 0, other.log()
    story = walks()
    assert story[-1] == ("ends", other.pid), "a run under way is finished"
    while story:
        begun = story.pop(0)
        assert begun[0] == "begins", "two at once"
        if story and story[0] == ("ends", begun[1]):
            story.pop(0)
        else:
            assert begun[1] == one.pid, "only the killed one may leave a run unfinished"


def test_a_scheduler_without_its_database_goes_on_trying(
    board: Flask, servers: TestServers, superuser: psycopg.Connection[Any], process: StartProcess
) -> None:
    scheduler = process("scheduler")
    with board.app_context():
        eventually(lambda: "core.audit_sealer" in last_runs())
        role = urlsplit(servers.database_url).username
        superuser.execute(f'alter role "{role}" nologin')
        try:
            superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name ^@ 'pegboard-scheduler' and datname = current_database()"
            )
            eventually(lambda: (last_runs()["core.audit_sealer"]["error"] or "").count("OperationalError"))
        finally:
            superuser.execute(f'alter role "{role}" login')
        eventually(lambda: last_runs()["core.audit_sealer"]["error"] is None)
    assert scheduler.stop() == 0
    assert "Traceback" not in scheduler.log()
