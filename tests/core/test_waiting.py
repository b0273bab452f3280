"""psycopg in gevent's hub: statements side by side, time-outs and cancelling honoured, nothing installed elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg import waiting as stock

from core.data import waiting
from core.ops.testbed import TestServers

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.unit
def test_an_unpatched_process_keeps_its_own_way() -> None:
    before = stock.wait
    assert waiting.install(30) is False
    assert stock.wait is before


@pytest.mark.unit
def test_a_psycopg_that_waits_otherwise_is_left_alone() -> None:
    def other(gen: Any, fileno: int, context: object) -> None: ...

    assert waiting._fits(stock.wait)
    assert not waiting._fits(other)


def test_in_a_patched_process(servers: TestServers) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.core.waiting_greenlets"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["installed"]
    assert found["side_by_side"] == 10
    assert found["large"] == 40_000_000
    assert found["statement_timeout"] == "QueryCanceled none"
    assert found["cancelled"] == "QueryCanceled none"
    assert found["notified"] == ["0", "now"]
    assert found["closed_meanwhile"] == "OperationalError"
    assert found["server_gone"] in ("AdminShutdown", "OperationalError")
    assert found["silent"] == "OperationalError closed"
    assert found["abandoned"] == "Timeout none"
    assert found["seconds"] < 15
