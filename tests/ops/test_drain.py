"""SIGTERM: web and worker finish what they have begun, take nothing new, and are gone within 25 seconds."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask
from fleet import Nap, ask, ask_once, children, connect, eventually, install_naps

from core.background import duties
from core.background.queue import consumer, contents
from core.background.tasks import enqueue
from core.data import redis
from core.ops.processes import Process

StartProcess = Callable[..., Process]


@pytest.fixture
def naps(ctx: Flask, tmp_path: Path) -> dict[str, str]:
    return install_naps(tmp_path)


def begun(many: int) -> None:
    """Wait until so many naps are under way."""
    eventually(lambda: int(redis.client().get("naps:begun") or 0) >= many)  # type: ignore[arg-type]


def ended_in(process: Process) -> float:
    began = time.monotonic()
    assert process.stop(40) == 0, process.log()
    return time.monotonic() - began


def test_requests_under_way_are_answered_and_connections_at_rest_hung_up(
    process: StartProcess, naps: dict[str, str]
) -> None:
    web = process("web", WEB_CONCURRENCY="2", **naps)
    resting = connect(web.url)
    assert ask(resting, "/api/naps/word")[0] == 200
    under_way = [Nap(web.url, 1.2) for _ in range(4)]
    begun(4)
    assert ended_in(web) < 15
    for nap in under_way:
        nap.join(5)
    assert [nap.status for nap in under_way] == [200] * 4
    resting.sock.settimeout(2)
    assert resting.sock.recv(1) == b"", "hung up in good order, not reset"
    resting.close()
    with pytest.raises(ConnectionRefusedError):
        ask_once(web.url, "/api/naps/word")
    assert "Traceback" not in web.log()


def test_a_leaving_process_answers_on_connections_that_it_has_and_ends_them(
    process: StartProcess, naps: dict[str, str]
) -> None:
    web = process("web", **naps)
    kept = connect(web.url)
    assert ask(kept, "/api/naps/word")[0] == 200
    holding = Nap(web.url, 1.2)
    begun(1)
    os.kill(web.pid, signal.SIGTERM)

    def ended() -> bool:
        kept.request("GET", "/api/naps/word")
        reply = kept.getresponse()
        assert (reply.status, reply.read()) == (200, b'{"word":"awake"}')
        return reply.getheader("Connection") == "close"

    eventually(ended)
    kept.close()
    assert web.ended() == 0
    holding.join(5)
    assert holding.status == 200


def test_what_the_kernel_has_accepted_is_answered_too(process: StartProcess, naps: dict[str, str]) -> None:
    """New connections until it listens no more: each that was accepted is answered, none is reset."""
    web = process("web", RATE_LIMIT="0", **naps)
    os.kill(web.pid, signal.SIGTERM)
    answered = 0
    for _ in range(20_000):
        connection = connect(web.url, timeout=10)
        try:
            connection.connect()
        except ConnectionRefusedError:
            break
        assert ask(connection, "/api/naps/word")[0] == 200
        connection.close()
        answered += 1
    assert answered > 0
    assert web.ended() == 0


def test_a_request_that_never_ends_is_cut_off_in_time(process: StartProcess, naps: dict[str, str]) -> None:
    """With a shorter patience than gunicorn.conf.py's, so that the test need not last 25 seconds."""
    web = process("web", GUNICORN_CMD_ARGS="--graceful-timeout 5", **naps)
    endless = Nap(web.url, 300)
    begun(1)
    assert ended_in(web) > 0.5
    endless.join(5)
    assert endless.status is None
    assert "Requests are cut off" in web.log()


def test_half_a_request_holds_nobody_up(process: StartProcess, naps: dict[str, str]) -> None:
    web = process("web", **naps)
    place = urlsplit(web.url)
    with socket.create_connection((str(place.hostname), place.port), timeout=20) as half:
        half.sendall(b"GET /api/naps/word HTTP/1.1\r\nHost:")
        time.sleep(0.2)
        assert ended_in(web) < 15


def test_a_worker_that_is_still_being_born_leaves_at_once(process: StartProcess, naps: dict[str, str]) -> None:
    """A signal between the fork and the worker's own handlers once got lost, and the master waited 25 s."""
    web = process("web", **naps)
    for _ in range(5):
        before = set(children(web.pid))
        os.kill(web.pid, signal.SIGTTIN)  # one worker more
        born = eventually(lambda before=before: set(children(web.pid)) - before)
        for pid in born:
            os.kill(pid, signal.SIGTERM)
        eventually(lambda born=born: not born & set(children(web.pid)), 20)
    os.kill(web.pid, signal.SIGTTIN)
    assert ended_in(web) < 20


def hears_sigterm(pid: int) -> bool:
    """Whether it has a handler of its own: one that is still being born ends at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def knocks_in_vain(url: str) -> int:
    """How often the system had to repeat what it sent, the first knock too, until a request was answered."""
    with contextlib.closing(connect(url)) as connection:
        connection.connect()
        line = connection.sock
        connection.request("GET", "/livez")
        with connection.getresponse() as reply:
            assert reply.status == 200
            facts = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("I", facts, 100)[0])  # tcpi_total_retrans


def test_a_worker_that_leaves_alone_closes_the_door_to_nobody(process: StartProcess, naps: dict[str, str]) -> None:
    """Its siblings listen on the same socket: newcomers are kept out only when the whole process leaves."""
    web = process("web", WEB_CONCURRENCY="2", **naps)
    eventually(lambda: [hears_sigterm(pid) for pid in children(web.pid)] == [True, True])
    os.kill(web.pid, signal.SIGTTOU)  # one worker less
    kept_out = 0
    while len(children(web.pid)) == 2:
        kept_out += knocks_in_vain(web.url)
    assert kept_out + knocks_in_vain(web.url) == 0, "nobody had to ask again after a second"
    assert web.stop() == 0


def test_a_worker_finishes_its_jobs_and_takes_no_more(process: StartProcess, naps: dict[str, str]) -> None:
    """``FINISH`` seconds are too long to wait for here: that they fit into the grace of a platform is held instead."""
    assert consumer.FINISH + consumer.PUT_BACK < 25
    assert duties.FINISH < consumer.FINISH
    worker = process("worker", WORKER_CONCURRENCY="2", **naps)
    enqueue("naps.rest", seconds=1.0, word="short")
    eventually(lambda: redis.client().lrange("naps", 0, -1) == [b"short begun"])
    os.kill(worker.pid, signal.SIGTERM)
    eventually(lambda: "worker ends" in worker.log())
    enqueue("naps.rest", seconds=0.0, word="late")
    assert worker.ended() == 0, worker.log()
    assert redis.client().lrange("naps", 0, -1) == [b"short begun", b"short done"]
    assert len(list(contents.waiting())) == 1


def test_the_scheduler_leaves_at_once(process: StartProcess, board: Flask) -> None:
    assert ended_in(process("scheduler")) < 12
