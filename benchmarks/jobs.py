"""Jobs beside BullMQ and Huey: ``make bench-jobs``.

Putting jobs with a payload of 100 bytes on a queue one at a time and 500 at once, and running them with one process and
20 hands, each acknowledged; both keep the last 100 that were done. The board's go through its signature, its tenant and
its unit of work, and each leaves its line in the log. Rounds alternate on one Valkey, and each figure is the median of
its rounds. BullMQ needs Node and npm, with which it is installed; without them it is left out. Stock Huey runs with
greenlets too and acknowledges nothing; beside it stands its API on our leases. About four minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import ROOT, cpu, pss, record, testbed
from benchmarks.data import PLAIN
from benchmarks.hueys import OfHuey

PEER = ROOT / "benchmarks" / "peers" / "bullmq"
ROUNDS = 3
SINGLE, BULK = 2_000, 20_000
HANDS = 20

Figures = dict[str, float]


def install_peer() -> str:
    """Node's version, the peer's packages installed; an empty text without Node and npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return ""
    if not (PEER / "node_modules").exists():
        subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=PEER, check=True)
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip().lstrip("v")


class BullMQ:
    name = "BullMQ"

    def __init__(self, url: str) -> None:
        self.url = url

    def single(self) -> Figures:
        return self._step("single", SINGLE)

    def bulk(self) -> Figures:
        return self._step("bulk", BULK)

    def run(self) -> Figures:
        return self._step("run", SINGLE + BULK)

    def _step(self, step: str, many: int) -> Figures:
        command = [str(shutil.which("node")), "bench.js", step, str(many), self.url]
        told = json.loads(subprocess.run(command, cwd=PEER, capture_output=True, text=True, check=True).stdout)
        mib = told["mib"] if step == "run" else 0.0
        return {"rate": many / told["seconds"], "cpu": told["cpu"] / many * 1e6, "mib": mib}


class Board:
    name = "board"

    def __init__(self) -> None:
        from core.app import create_app

        self.app = create_app("cli")

    def single(self) -> Figures:
        return self._pushed(SINGLE, 1)

    def bulk(self) -> Figures:
        return self._pushed(BULK, 500)

    def _pushed(self, many: int, at_once: int) -> Figures:
        from core.background.queue import push
        from core.data import DEFAULT, new_id
        from core.data.outbox import Envelope

        with self.app.app_context():
            began, used = time.perf_counter(), time.process_time()
            for _ in range(0, many, at_once):
                push([Envelope(new_id(), "task", "plain.noop", PAYLOAD, DEFAULT.id) for _ in range(at_once)])
            seconds, used = time.perf_counter() - began, time.process_time() - used
        return {"rate": many / seconds, "cpu": used / many * 1e6, "mib": 0.0}

    def run(self) -> Figures:
        """From the first to the last that is done, by the queue's own count."""
        with self.app.app_context():
            before = self._completed()
            wanted = before + SINGLE + BULK
            worker = subprocess.Popen([sys.executable, "-m", "core.worker"], cwd=ROOT, stdout=subprocess.DEVNULL)
            try:
                _wait(lambda: self._completed() > before)
                first, began, used = self._completed(), time.perf_counter(), cpu(worker.pid)
                _wait(lambda: self._completed() >= wanted)
                seconds, used, mib = time.perf_counter() - began, cpu(worker.pid) - used, pss(worker.pid)
            finally:
                worker.terminate()
                worker.wait(30)
        done = wanted - first
        return {"rate": done / seconds, "cpu": used / done * 1e6, "mib": mib}

    def _completed(self) -> int:
        from core.background.queue.figures import figures

        return figures("default").completed


PAYLOAD: dict[str, Any] = {"text": "x" * 89}


def _wait(true: Callable[[], bool], within: float = 120) -> None:
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("the jobs were not done in time")
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="add rows to benchmarks/RESULTS.md")
    given = parser.parse_args()
    node = install_peer()
    if not node:
        print("Node or npm is not here: BullMQ is left out")
    sys.path.insert(0, PLAIN)
    with testbed(PYTHONPATH=PLAIN, WORKER_CONCURRENCY=str(HANDS)) as (servers, _):
        contenders: list[Any] = [Board(), *([BullMQ(servers.redis_url)] if node else [])]
        contenders += [OfHuey(which, SINGLE, BULK, HANDS) for which in ("stock", "leased")]
        rounds: dict[str, dict[str, list[Figures]]] = {
            step: {each.name: [] for each in contenders} for step in ("single", "bulk", "run")
        }
        for _ in range(ROUNDS):
            for step in ("single", "bulk", "run"):
                for each in contenders:
                    rounds[step][each.name].append(getattr(each, step)())
        for step, found in rounds.items():
            told = {
                name: {key: statistics.median(one[key] for one in taken) for key in taken[0]}
                for name, taken in found.items()
            }
            tell(step, told, given.record, {"Node": node} if node else {})


def memory(mib: float) -> str:
    return f", {mib:.0f} MiB" if mib else ""


def tell(step: str, found: dict[str, Figures], keep: bool, versions: dict[str, str]) -> None:
    what = {"single": "put one at a time", "bulk": "put 500 at once", "run": f"run, 1 process, {HANDS} hands"}[step]
    lines = [
        f"{name} {each['rate']:.0f}/s, {each['cpu']:.0f} µs of CPU"
        + (f", {each['mib']:.0f} MiB" if step == "run" else "")
        for name, each in found.items()
    ]
    for line in lines:
        print(f"{what:<26} {line}", flush=True)
    ratio = ""
    if "BullMQ" in found:
        ours, theirs = found["board"], found["BullMQ"]
        ratio = f"{ours['rate'] / theirs['rate']:.2f} × BullMQ, {ours['cpu'] / theirs['cpu']:.2f} × its CPU"
        ratio += f", {ours['mib'] / theirs['mib']:.2f} × its memory" if step == "run" else ""
        ratio += "; "
    stock, api = found["stock Huey"], found["leased Huey"]
    ratio += f"{found['board']['rate'] / stock['rate']:.2f} × stock Huey, its API on leases "
    ratio += f"{api['rate'] / stock['rate']:.2f} × at {api['cpu'] / stock['cpu']:.2f} × its CPU"
    print(f"{'':<26} {ratio}", flush=True)
    if keep:
        record(f"jobs, {what}", "; ".join(lines), ratio, versions)


if __name__ == "__main__":
    main()
