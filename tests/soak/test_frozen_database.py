"""A PostgreSQL that is frozen keeps its connections open and says nothing: nobody waits for it without end."""

from __future__ import annotations

import os
import signal
import time

import psutil
from whole_house import House, eventually, house

__all__ = ["house"]


def test_a_frozen_database_is_a_503_and_comes_back(house: House) -> None:
    postgres = house.servers.postgres
    assert postgres
    assert postgres.pid
    token = house.register()
    family = [psutil.Process(postgres.pid), *psutil.Process(postgres.pid).children(recursive=True)]
    for process in family:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        status, problem, headers = house.ask("GET", "/api/auth/me", token=token, patience=40)
        assert (status, problem["code"]) == (503, "DATABASE_UNAVAILABLE")
        assert headers["Retry-After"]
        assert time.monotonic() - began < 25
        assert house.ask("GET", "/livez")[0] == 200
    finally:
        for process in family:
            os.kill(process.pid, signal.SIGCONT)
    eventually(lambda: house.ask("GET", "/api/auth/me", token=token)[0] == 200)
