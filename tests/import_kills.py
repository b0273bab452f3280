"""An import whose server is killed again and again, and a client that sends the rest each time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from core.ops.processes import Process


def rows(first: int, total: int) -> Iterator[bytes]:
    yield b"name,email\n"
    for start in range(first, total, 1000):
        numbers = range(start, min(start + 1000, total))
        yield b"".join(b"Customer %d,c%d@example.com\n" % (number, number) for number in numbers)


def peak(pid: int) -> int:
    """The largest resident size that a process's children have had, in KiB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = [Path(f"/proc/{child}/status").read_text() for child in children]
    return max(int(text.split("VmHWM:")[1].split()[0]) for text in status)


def import_under_fire(
    web: Process, headers: dict[str, str], superuser: psycopg.Connection[Any], total: int, kills: int, seed: int
) -> int:
    """Import ``total`` customers while the worker is killed ``kills`` times, at rows that a die chooses.

    Answers how often the client had to begin again.
    """
    dice = Random(seed)
    id, again = uuid4(), 0
    marks = sorted(dice.randrange(total) for _ in range(kills))
    done = threading.Event()

    def fire() -> None:
        for mark in marks:
            while not done.is_set():
                found = superuser.execute("select next_row from core_imports where id = %s", (id,)).fetchone()
                if found and found[0] >= mark:
                    break
                time.sleep(0.01)
            if done.is_set():
                return
            time.sleep(dice.random() * 0.05)
            while not (workers := Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split()):
                time.sleep(0.02)  # the last one that was killed has no successor yet
            os.kill(int(workers[0]), signal.SIGKILL)

    thread = threading.Thread(target=fire)
    thread.start()
    try:
        with httpx.Client(base_url=web.url, headers=headers, timeout=120) as client:
            at, deadline = f"/api/commerce/customers/imports/{id}", time.monotonic() + 300
            while True:
                assert time.monotonic() < deadline, "the import did not come to its end"
                try:
                    state = client.get(at)
                    first = state.json()["next_row"] if state.status_code == 200 else 0
                    # Every other time from the beginning: what was done is passed over.
                    first = first if again % 2 else 0
                    reply = client.put(
                        at, params={"from_row": first}, content=rows(first, total), headers={"Content-Type": "text/csv"}
                    )
                    if reply.status_code == 200:
                        assert (reply.json()["created"], reply.json()["failed"]) == (total, 0), reply.text
                        return again
                    if reply.status_code != 503:
                        raise AssertionError(f"{reply.status_code}: {reply.text}")
                except httpx.TransportError:
                    pass
                again += 1
                time.sleep(0.1)
    finally:
        done.set()
        thread.join(30)


def each_once(superuser: psycopg.Connection[Any], total: int) -> None:
    counted = "select count(*), count(distinct email), min(id::text) is not null from commerce_customers"
    assert superuser.execute(counted).fetchone() == (total, total, True)
    told = "select count(*), count(distinct resource_id) from core_audit where action = 'commerce.customer_created'"
    assert superuser.execute(told).fetchone() == (total, total)
