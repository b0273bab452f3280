"""Password hashes: bounded, off the loop, and never while a transaction is open."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient

from core.data import unit
from core.errors import Refused
from plugins.auth import passwords
from plugins.auth.hashers import NEW
from plugins.auth.passwords import Workbench, hashed, matches

LOOP = """
from gevent import monkey
monkey.patch_all()
import time
import gevent
from plugins.auth import passwords
from plugins.auth.hashers import NEW

assert passwords._under_gevent()
bench = passwords.Workbench(2, 8)
thread = monkey.get_original("_thread", "get_ident")
seen = set()
ticks = 0

def tick():
    global ticks
    while True:
        gevent.sleep(0.001)
        ticks += 1

def hash_once():
    seen.add(thread())
    return NEW.hash(b"correct horse battery")

gevent.spawn(tick)
gevent.sleep(0.01)
began, before = time.perf_counter(), ticks
jobs = [gevent.spawn(bench.run, hash_once) for _ in range(8)]
hashes = [job.get() for job in jobs]
took = time.perf_counter() - began
assert len(set(hashes)) == 8
assert thread() not in seen, "a hash ran on the loop's own thread"
print(ticks - before, round(took, 3))
"""


def test_the_loop_turns_while_passwords_are_hashed() -> None:
    done = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ticks, took = done.stdout.split()
    # On the loop there would be one turn between two hashes; off it, hundreds a second even on a busy machine.
    assert int(ticks) > 8 * 2, f"{ticks} turns in {took} s"


def test_no_more_run_at_once_than_there_are_seats() -> None:
    bench, running, most = Workbench(2, 20), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: bench.run(work), range(20)))
    assert most == [2]


def test_a_full_queue_is_told_at_once() -> None:
    bench, go, begun = Workbench(1, 1), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go.wait(10)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(bench.run, slow)
        assert begun.wait(10)
        second = pool.submit(bench.run, lambda: None)
        deadline = time.monotonic() + 10
        while bench.places._value and time.monotonic() < deadline:
            time.sleep(0.001)
        with pytest.raises(Refused) as caught:
            bench.run(lambda: None)
        assert caught.value.code.name == "BUSY"
        assert caught.value.headers["Retry-After"] == "2"
        go.set()
        first.result(10)
        second.result(10)
    assert bench.run(lambda: "free again") == "free again"


def test_a_place_is_given_back_after_a_failure() -> None:
    bench = Workbench(1, 0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            bench.run(lambda: 1 // 0)


def test_a_busy_board_answers_503_with_retry_after(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Workbench(1, 0)
    bench.places.acquire()
    monkeypatch.setitem(client.application.extensions, "pegboard.auth.workbench", bench)
    reply = client.post("/api/auth/login", json={"email": "alice@example.com", "password": "correct horse"})
    assert (reply.status_code, reply.get_json()["code"]) == (503, "BUSY")
    assert reply.headers["Retry-After"] == "2"


def test_no_transaction_is_open_meanwhile(ctx: Flask) -> None:
    with unit(), pytest.raises(RuntimeError, match="outside the unit of work"):
        hashed("correct horse battery")


def test_a_hash_fits_its_password_alone(ctx: Flask) -> None:
    known = hashed("correct horse battery")
    assert known.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert matches("correct horse battery", known)
    assert not matches("correct horse batterx", known)
    assert not matches("correct horse battery", None)
    assert not matches("", NEW.decoy())
    assert not matches("correct horse battery", "not a hash")


def test_what_is_hashed_never_reaches_a_traceback(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that fails must not take the password into a log."""
    known = hashed("correct horse battery")
    broken = known[:-1] + "!"
    assert passwords._verify(broken, b"correct horse battery") is False
