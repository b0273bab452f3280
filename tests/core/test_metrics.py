"""Metrics: one table, labels with few values, and figures that add up over processes."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core import telemetry
from core.telemetry import metrics

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(metrics.VARIABLE, raising=False)
    for name, empty in (("_series", {}), ("_sizes", {}), ("_families", {}), ("_registry", None)):
        monkeypatch.setattr(metrics, name, empty)
    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))


def figures(text: bytes) -> dict[str, float]:
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_counting_and_timing(fresh: None) -> None:
    assert telemetry.exposition()[0] == b""
    for status in ("200", "200", "503"):
        telemetry.count("http_requests_total", status=status, method="GET", route="/api/x/<uuid:id>")
    telemetry.observe("http_request_seconds", 0.03, route='/a"b\n')
    text, kind = telemetry.exposition()
    assert kind.startswith("text/plain")
    got = figures(text)
    assert got['http_requests_total{method="GET",route="/api/x/<uuid:id>",status="200"}'] == 2
    assert got['http_request_seconds_bucket{le="0.05",route="/a\\"b\\n"}'] == 1
    assert got['http_request_seconds_bucket{le="0.025",route="/a\\"b\\n"}'] == 0
    assert not any("_created" in name for name in got)


def test_only_what_the_table_has(fresh: None) -> None:
    for call in (
        lambda: telemetry.count("http_request_total", method="GET", route="/", status="200"),
        lambda: telemetry.count("http_requests_total", method="GET", route="/"),
        lambda: telemetry.count("http_requests_total", method="GET", route="/", code="200"),
        lambda: telemetry.observe("job_seconds", 1.0, task="a", queue="b"),
    ):
        with pytest.raises(KeyError):
            call()


def test_a_plugin_adds_its_own(fresh: None) -> None:
    telemetry.metric("chat_messages_total", "counter", "Messages sent", "room_kind")
    telemetry.metric("chat_messages_total", "counter", "Messages sent", "room_kind")
    telemetry.count("chat_messages_total", room_kind="direct")
    assert figures(telemetry.exposition()[0]) == {'chat_messages_total{room_kind="direct"}': 1}
    with pytest.raises(ValueError, match="another meaning"):
        telemetry.metric("chat_messages_total", "counter", "Something else", "room_kind")
    with pytest.raises(ValueError, match="_total"):
        telemetry.metric("chat_messages", "counter", "Messages sent")


def test_labels_out_of_hand_are_counted_together(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_SERIES", 10)
    for number in range(50):
        telemetry.count("events_total", event=f"e{number}", outcome="done")
    got = figures(telemetry.exposition()[0])
    assert len(got) == 11
    assert got['events_total{event="other",outcome="other"}'] == 40
    assert len(metrics._series) == 11


CONFIG = """
from core import telemetry
bind = "127.0.0.1:%d"
workers = 2
worker_class = "%s"
preload_app = True
graceful_timeout = 5
control_socket_disable = True
telemetry.prepare_multiprocess()
def child_exit(server, worker):
    telemetry.child_exit(worker.pid)
"""

APP = """
import os
from core import telemetry
def app(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        body, kind = telemetry.exposition()
    else:
        telemetry.count("http_requests_total", method="GET", route="/", status="200")
        telemetry.observe("http_request_seconds", 0.01, route="/")
        body, kind = str(os.getpid()).encode(), "text/plain"
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
"""


@dataclass
class Gunicorn:
    port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
            body: bytes = reply.read()
            return body

    def two_workers(self) -> set[int]:
        """Ask until both have answered."""
        pids = {int(self.get("/"))}

        def both() -> bool:
            pids.add(int(self.get("/")))
            return len(pids) == 2

        until(both)
        return pids

    def requests_seen(self) -> float:
        return figures(self.get("/metrics")).get('http_requests_total{method="GET",route="/",status="200"}', 0)


def until(true: Callable[[], Any], within: float = 20.0) -> Any:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if found := true():
                return found
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


@pytest.fixture(params=["sync", "gevent"])
def gunicorn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gunicorn]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "conf.py").write_text(CONFIG % (port, request.param))
    (tmp_path / "small.py").write_text(APP)
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    environ.pop(metrics.VARIABLE, None)
    command = [sys.executable, "-m", "gunicorn", "-c", str(tmp_path / "conf.py"), "small:app"]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
    try:
        started = Gunicorn(port, process)
        until(lambda: started.get("/"))
        yield started
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()
    assert not list(tmp_path.glob("pegboard-metrics-*")), "the folder was left behind"


def test_metrics_answer_for_all_workers_and_for_those_that_died(gunicorn: Gunicorn, tmp_path: Path) -> None:
    victim = gunicorn.two_workers().pop()
    seen = gunicorn.requests_seen()
    assert seen >= 2
    for _ in range(20):
        gunicorn.get("/")
    assert gunicorn.requests_seen() == seen + 20
    (folder,) = tmp_path.glob("pegboard-metrics-*")
    os.kill(victim, signal.SIGKILL)
    until(lambda: not list(folder.glob(f"*_{victim}.db")))
    assert (folder / "counter_0.db").exists()
    assert gunicorn.requests_seen() == seen + 20
    assert victim not in gunicorn.two_workers()
    seen = gunicorn.requests_seen()
    gunicorn.get("/")
    assert gunicorn.requests_seen() == seen + 1
    assert figures(gunicorn.get("/metrics"))['http_request_seconds_count{route="/"}'] == seen + 1


def test_a_folder_that_is_given_is_used_and_the_dead_of_an_earlier_run_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder = tmp_path / "metrics"
    monkeypatch.setenv(metrics.VARIABLE, str(folder))
    telemetry.prepare_multiprocess()
    for name in (f"counter_{gone.pid}.db", f"counter_{os.getppid()}.db", "counter_0.db", "unrelated.db"):
        (folder / name).write_bytes(b"\0" * 64)
    telemetry.prepare_multiprocess()
    assert {path.name for path in folder.iterdir()} == {f"counter_{os.getppid()}.db", "counter_0.db", "unrelated.db"}
    (folder / f"counter_{os.getppid()}.db").unlink()
    telemetry.prepare_multiprocess()
    assert {path.name for path in folder.iterdir()} == {"unrelated.db"}


def test_figures_that_cannot_be_kept_stop_nobody(
    fresh: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(place: tuple[str, ...]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(metrics, "_begin", full)
    monkeypatch.setattr(metrics, "_failed", False)
    for _ in range(3):
        telemetry.count("outbox_rows_total", path="fast")
    assert caplog.text.count("No space left") == 1
