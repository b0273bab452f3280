"""Huey's API while Redis is away for a moment: a task that was taken is neither buried nor held, it goes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from huey.api import chord
from huey_shop import DONE, note, shop, total
from redis.exceptions import ConnectionError
from redis_cable import until

from core.background.queue import contents
from core.background.queue.leased_huey.storage import LeasedStorage
from core.data import redis

NAME = "huey.shop"


@pytest.fixture(autouse=True)
def emptied(ctx: Flask) -> Iterator[None]:
    yield
    shop.storage.close()


@contextmanager
def away(patch: pytest.MonkeyPatch, method: str, *, done: bool = False) -> Iterator[None]:
    """Of Redis, for this method of the storage; ``done``: after it was done."""
    whole = getattr(LeasedStorage, method)

    def fail(self: LeasedStorage, *args: Any) -> None:
        if done:
            whole(self, *args)
        raise ConnectionError("away")

    with patch.context() as broken, pytest.raises(ConnectionError):
        broken.setattr(LeasedStorage, method, fail)
        yield


def places() -> dict[str, int]:
    return {place.__name__: len(list(place(NAME))) for place in (contents.waiting, contents.leased, contents.dead)}


def test_a_task_of_which_nobody_can_say_whether_it_was_revoked_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    note(1)
    shop.revoke_by_id("another")
    task = shop.dequeue()
    with away(monkeypatch, "peek_many"):
        shop.execute(task)
    assert places() == {"waiting": 1, "leased": 0, "dead": 0}
    shop.execute(shop.dequeue())
    assert redis.client().lrange(DONE, 0, -1) == [b"1"]


def test_a_callback_whose_results_cannot_be_asked_for_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    result = shop.enqueue(chord([note.s(1), note.s(2)], total.s(3)))
    for _ in range(2):
        shop.execute(shop.dequeue())
    with away(monkeypatch, "gathered"):
        shop.dequeue()
    assert places() == {"waiting": 1, "leased": 0, "dead": 0}
    shop.execute(shop.dequeue())
    assert result() == 3


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_a_task_that_could_not_be_leased_takes_no_seat(monkeypatch: pytest.MonkeyPatch, done: bool) -> None:
    here = shop.storage.here
    here.arrive()
    assert here.pumped is not None
    pump = here.pumped.pump
    pump.size = 0
    with away(monkeypatch, "_run", done=done):
        shop.execute(note.s(1))
    assert pump.running == 0
    until(lambda: places() == {"waiting": int(done), "leased": 0, "dead": 0})
