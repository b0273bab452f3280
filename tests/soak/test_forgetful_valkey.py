"""Valkey is killed just while its disk syncs, when it has answered and not written: no job is lost by it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from redis.exceptions import RedisError

from core.background import enqueue
from core.background.queue import contents, messages
from core.data import DEFAULT, acting_in, confirming, new_id, redis, sweeping, unit
from core.ops.embedded import start

KILLS = 10
LOAD = 16 * 1024 * 1024


@pytest.fixture
def busy_disk(tmp_path: Path) -> Iterator[None]:
    """Somebody writes much and syncs it, so that Valkey's own sync takes a while."""
    ends = threading.Event()

    def load() -> None:
        block = os.urandom(LOAD)
        while not ends.is_set():
            with (tmp_path / "load").open("wb") as file:
                file.write(block)
                file.flush()
                os.fsync(file.fileno())

    threads = [threading.Thread(target=load, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield
    ends.set()
    for thread in threads:
        thread.join()


def holds_something_back(store: Any) -> bool:
    with contextlib.suppress(RedisError):
        told = store.info("persistence")
        return bool(told["aof_pending_bio_fsync"] and told["aof_buffer_length"])
    return False


@pytest.mark.timeout(300)
def test_what_it_had_answered_and_forgot_is_handed_over_again(
    busy_disk: None,
    make_board: Callable[..., Flask],
    superuser: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    superuser.execute("delete from core_outbox")
    servers = start(tmp_path / "valkey", durable=True, only=("valkey",))
    valkey = servers.valkey
    assert valkey
    monkeypatch.setenv("REDIS_URL", valkey.url)
    wanted: list[Any] = []
    aimed = forgotten = 0
    try:
        app = make_board("web")
        with app.app_context(), acting_in(DEFAULT):
            box, store = app.extensions["pegboard.outbox"], redis.client()
            for _ in range(KILLS):
                until = time.monotonic() + 10
                while time.monotonic() < until and not (hit := holds_something_back(store)):
                    with unit():
                        wanted += [enqueue("shelf.count", book_id=new_id()) for _ in range(5)]
                aimed += hit
                valkey.kill()
                valkey.start()
                box.resting_until = 0.0
                confirming.confirm(limit=10**6, after=timedelta(0))
                forgotten += sweeping.sweep(limit=10**6, settled=timedelta(0))
            confirming.confirm(limit=10**6, after=timedelta(0))
            [(left,)] = superuser.execute("select count(*) from core_outbox").fetchall()
            found = Counter(messages.decode(frame.message).id for frame in contents.waiting())
    finally:
        servers.stop()
    print(f"{len(wanted)} jobs, {KILLS} kills, {aimed} of them aimed: {forgotten} jobs were handed over again")
    assert (left, found) == (0, Counter(wanted)), "each once"
