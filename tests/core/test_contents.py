"""What lies in a queue, looked at: in the order in which it will be taken, and no more of it than is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from core.background.queue import contents, figures, framing
from core.background.queue.leased import Leased
from core.background.queue.routes import Route
from core.data import DEFAULT, new_id, redis
from core.data.outbox import Envelope


@pytest.fixture
def queue(ctx: Flask) -> Leased:
    return Leased(redis.client(), "default", "one")


@pytest.fixture
def fetched(queue: Leased, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many things each answer of Redis held that was a list."""
    store, sizes = redis.client(), list[int]()
    execute = store.execute_command

    def measured(*args: Any, **options: Any) -> Any:
        found = execute(*args, **options)
        if isinstance(found, list):
            sizes.append(len(found))
        return found

    monkeypatch.setattr(store, "execute_command", measured)
    return sizes


def put(queue: Leased, many: int, priority: int = 0, due: int = 0) -> None:
    jobs = [Envelope(new_id(), "task", "shelf.nothing", {}, DEFAULT.id) for _ in range(many)]
    queue.push([(due, framing.framed(job, Route(priority=priority))) for job in jobs])


def test_more_than_a_page_is_told_whole_and_in_order(queue: Leased) -> None:
    for priority in (-5, 0, 5, 9):
        put(queue, 1100, priority)
    told = [each.nonce for each in contents.waiting()]
    assert len(set(told)) == 4400
    assert told[:3000] == [each.nonce for _ in range(3) for each in queue.step(1000).taken]


@pytest.mark.parametrize("priority", [5, 0, -5])
def test_whoever_looks_at_the_first_fetches_the_first(queue: Leased, fetched: list[int], priority: int) -> None:
    put(queue, 600, priority)
    assert figures.figures("default").waiting == 600
    assert max(fetched) <= contents.FIRST


def test_what_is_not_due_is_fetched_as_it_is_looked_at(queue: Leased, fetched: list[int]) -> None:
    put(queue, 1200, due=2**42)
    next(contents.scheduled())
    assert max(fetched) <= contents.FIRST
    assert len(set(contents.scheduled())) == 1200
