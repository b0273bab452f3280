"""Huey beside the board: stock, which does not acknowledge, and its API on our leases. Its own consumer, greenlets."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import ROOT, cpu, pss

PEER = ROOT / "benchmarks" / "peers" / "huey"
TEXT = "x" * 89


class OfHuey:
    """``which`` is ``stock`` or ``leased``; a round puts ``single`` and ``bulk`` tasks, then runs them all."""

    def __init__(self, which: str, single: int, bulk: int, hands: int) -> None:
        self.name = f"{which} Huey"
        self.which = which
        self.many = (single, bulk)
        self.hands = hands
        sys.path.insert(0, str(PEER))
        module: Any = importlib.import_module(which)
        self.huey: Any = module.huey
        self.task: Any = module.noop

    def single(self) -> dict[str, float]:
        return self._put(self.many[0])

    def bulk(self) -> dict[str, float]:
        """Huey has no way to put many at once."""
        return self._put(self.many[1])

    def _put(self, many: int) -> dict[str, float]:
        began, used = time.perf_counter(), time.process_time()
        for _ in range(many):
            self.task(TEXT)
        seconds, used = time.perf_counter() - began, time.process_time() - used
        return {"rate": many / seconds, "cpu": used / many * 1e6, "mib": 0.0}

    def run(self) -> dict[str, float]:
        """From the first to the last that is taken, by the queue's length."""
        total = self.huey.pending_count()
        command = [sys.executable, "-m", "huey.bin.huey_consumer", f"{self.which}.huey"]
        command += ["-k", "greenlet", "-w", str(self.hands), "-n", "-q"]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(PEER), str(ROOT)))}
        consumer = subprocess.Popen(command, cwd=PEER, env=environ, stderr=subprocess.DEVNULL)
        try:
            _until(lambda: self.huey.pending_count() < total)
            first, began, used = self.huey.pending_count(), time.perf_counter(), cpu(consumer.pid)
            _until(lambda: not self.huey.pending_count())
            seconds, used, mib = time.perf_counter() - began, cpu(consumer.pid) - used, pss(consumer.pid)
        finally:
            consumer.terminate()
            consumer.wait(30)
        return {"rate": first / seconds, "cpu": used / first * 1e6, "mib": mib}


def _until(true: Callable[[], bool], within: float = 180) -> None:
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("the tasks were not done in time")
        time.sleep(0.01)
