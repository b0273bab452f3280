"""What a board weighs and how fast it is ready: ``make footprint``.

PSS (Linux ``smaps_rollup``, MiB) of web with one and with two workers, of the job worker and of the scheduler, each
after 100 requests with every plugin on; modules imported by each kind; seconds until the first reply, alternating
with an empty Flask + SQLAlchemy app under the same gunicorn. Writes a row to benchmarks/RESULTS.md with ``--record``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from multiprocessing.pool import ThreadPool
from pathlib import Path

from benchmarks.common import ROOT, pss, record, testbed
from core.ops.processes import Process
from core.ops.servers import free_port

REQUESTS, HANDS = 100, 4
ROUNDS = 5
AIMS = {"web_1": 120, "web_further": 45, "board": 300, "start": 2.0}

EMPTY = """
from gevent import monkey
monkey.patch_all()
import os
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
db = SQLAlchemy(app)
@app.get("/livez")
def livez():
    return {"status": "ok"}
"""

COUNT = "import sys; from core.app import create_app; create_app({kind!r}); print(len(sys.modules))"


def request(url: str, count: int) -> None:
    for _ in range(count):
        with urllib.request.urlopen(url, timeout=10) as reply:
            reply.read()


def use(url: str) -> None:
    """From several sides at once, or one worker may answer everything and the other weigh nothing."""
    with ThreadPool(HANDS) as hands:
        for path, count in (("/readyz", REQUESTS), ("/openapi.json", 2 * HANDS)):
            hands.starmap(request, [(f"{url}{path}", count // HANDS)] * HANDS)


def weigh() -> dict[str, float]:
    figures: dict[str, float] = {}
    for workers in (1, 2):
        web = Process("web", {"WEB_CONCURRENCY": str(workers)})
        web.wait_ready()
        use(web.url)
        figures[f"web_{workers}"] = pss(web.pid)
        web.close()
    for kind in ("worker", "scheduler"):
        process = Process(kind, {})
        process.wait_ready()
        time.sleep(3)
        figures[kind] = pss(process.pid)
        process.close()
    figures["web_further"] = figures["web_2"] - figures["web_1"]
    figures["board"] = figures["web_2"] + figures["worker"] + figures["scheduler"]
    return figures


def seconds_until_ready(command: list[str], folder: Path) -> float:
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command, "-b", f"127.0.0.1:{port}"],
        cwd=folder,
        env={**os.environ, "WEB_CONCURRENCY": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = began + 30
        while time.perf_counter() < deadline:
            try:
                request(f"http://127.0.0.1:{port}/livez", 1)
                return time.perf_counter() - began
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"{command} did not answer within 30 s")
    finally:
        process.terminate()
        process.wait()


def race() -> tuple[float, float]:
    """Median seconds until the first reply: (board, empty app), in alternation."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "empty.py").write_text(EMPTY)
        for _ in range(ROUNDS):
            ours.append(seconds_until_ready(["-m", "gunicorn", "wsgi:app"], ROOT))
            command = ["-m", "gunicorn", "-k", "gevent", "--preload", "--no-control-socket", "empty:app"]
            theirs.append(seconds_until_ready(command, Path(folder)))
    return statistics.median(ours), statistics.median(theirs)


def modules(kind: str) -> int:
    shown = subprocess.run(
        [sys.executable, "-c", COUNT.format(kind=kind)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(shown.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="add a row to benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    with testbed():
        figures = weigh()
        board, empty = race()
        counted = {kind: modules(kind) for kind in ("web", "worker", "scheduler")}
    lines = [
        ("web, master and 1 worker", f"{figures['web_1']:.0f} MiB", f"≤ {AIMS['web_1']}"),
        ("each further web worker", f"{figures['web_further']:.0f} MiB", f"≤ {AIMS['web_further']}"),
        ("job worker", f"{figures['worker']:.0f} MiB", ""),
        ("scheduler", f"{figures['scheduler']:.0f} MiB", ""),
        ("whole board (web with 2 workers)", f"{figures['board']:.0f} MiB", f"≤ {AIMS['board']}"),
        ("ready, board / empty app", f"{board:.2f} s / {empty:.2f} s = {board / empty:.2f}", f"≤ {AIMS['start']}"),
        *((f"modules, {kind}", str(count), "") for kind, count in counted.items()),
    ]
    for what, figure, aim in lines:
        print(f"{what:<34} {figure:<28} {aim}")
    if arguments.record:
        record(
            "footprint",
            f"web {figures['web_1']:.0f} MiB, further worker {figures['web_further']:.0f}, worker"
            f" {figures['worker']:.0f}, scheduler {figures['scheduler']:.0f}, board {figures['board']:.0f}",
            f"start {board / empty:.2f} × an empty Flask + SQLAlchemy app",
        )


if __name__ == "__main__":
    main()
