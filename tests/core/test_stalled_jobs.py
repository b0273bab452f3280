"""Jobs whose workers died under them too often: they have failed as any other that is not tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chores_here import chores_of
from flask import Flask
from redis.exceptions import ConnectionError

from core.background import enqueue, enqueue_chain, enqueue_group, step, task
from core.background.queue import contents, dead, figures, leased, parts, settling
from core.background.queue.huey import BoardHuey
from core.background.queue.keys import Keys
from core.background.queue.leased import Leased, Settled
from core.background.queue.pump import Pump
from core.data import DEFAULT, redis
from core.trust import public

did: list[str] = []


@task(unique=True)
@public
def poison(word: str = "a") -> None:
    did.append(word)


@task(unique=True, window=60.0)
@public
def rare(word: str = "a") -> None:
    did.append(word)


@pytest.fixture(autouse=True)
def chores(ctx: Flask, worker_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(leased, "MOST_STALLS", 0)
    did.clear()
    with chores_of(worker_app, poison, rare):
        yield


@pytest.fixture
def finder(worker_app: Flask) -> Pump:
    """Of a worker with no hand: it finds what others let lapse, and takes nothing."""
    return BoardHuey(worker_app, Pump(Leased(redis.client(), "default", "finder"), 0)).pump


def kill_a_worker(many: int = 1) -> None:
    """One that has taken so many jobs."""
    queue = Leased(redis.client(), "default", "one")
    assert len(queue.step(many).taken) == many
    queue.leave()


def find(finder: Pump) -> None:
    """It finds them, and settles them with its next step."""
    finder._reap_at = 0.0
    for _ in range(2):
        finder._step()


def test_it_has_a_record_and_is_counted_as_failed(finder: Pump) -> None:
    job = enqueue("chores.poison")
    kill_a_worker()
    find(finder)
    [record] = figures.ended("default", "failed")
    assert (record.id, record.task, record.attempt) == (job, "chores.poison", 1)
    assert (record.error, record.tenant_id) == (dead.STALLED, DEFAULT.id)
    [letter] = dead.letters("default")
    assert letter.envelope and (letter.envelope.id, letter.error) == (job, dead.STALLED)
    for by in ("task", "tenant"):
        [part] = parts.parts("default", by)  # type: ignore[arg-type]
        assert (part.failed, part.ended, part.active) == (1, 1, 0)
        assert part.run_ms.p50 is None, "nobody knows how long it ran"
    now = figures.figures("default")
    assert (now.failed, now.dead, now.active, now.wait_ms.p50) == (1, 1, 0, None)


def test_a_worker_that_gives_it_back_does_not_make_it_well(finder: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased, "MOST_STALLS", 3)
    enqueue("chores.poison")
    for _ in range(2):
        kill_a_worker()
        find(finder)
    leaving = Leased(redis.client(), "default", "two")
    [frame] = leaving.step(1).taken
    leaving.step(0, [Settled.of(frame, ("back", "", frame.raw()))])
    for _ in range(2):
        kill_a_worker()
        find(finder)
    assert len(list(dead.letters("default"))) == 1 and not redis.client().exists(leaving.keys.stalls)


@pytest.mark.parametrize(("name", "left"), [("poison", 1), ("rare", 0)])
def test_it_keeps_its_twins_away_as_long_as_any_that_failed(finder: Pump, name: str, left: int) -> None:
    enqueue(f"chores.{name}")
    kill_a_worker()
    find(finder)
    enqueue(f"chores.{name}")
    assert len(list(contents.waiting())) == left


def test_a_chain_and_a_group_go_on_once_it_is_replayed(finder: Pump, run_jobs: Callable[[], int]) -> None:
    a, b, c, d = (step("chores.poison", word=word) for word in "abcd")
    enqueue_chain(a, b)
    enqueue_group([c, a], then=d)
    kill_a_worker(3)
    find(finder)
    assert run_jobs() == 0 and len(figures.ended("default", "failed")) == 3
    letters = list(dead.letters("default"))
    assert all(each.envelope and each.envelope.then for each in letters)
    for each in letters[:2]:
        dead.replay(each)
    run_jobs()
    dead.replay(letters[2])
    run_jobs()
    assert sorted(did) == ["a", "a", "b", "c", "d"]


def test_a_reply_that_is_lost_has_nobody_run_it_again(finder: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue("chores.poison")
    kill_a_worker()
    whole = Leased.reap

    def lost(self: Leased, *args: Any) -> Any:
        whole(self, *args)
        raise ConnectionError("the reply was lost")

    with monkeypatch.context() as patched:
        patched.setattr(Leased, "reap", lost)
        finder._turn()
    assert finder.away
    find(finder)
    assert not finder._ready and len(figures.ended("default", "failed")) == 1
    assert figures.figures("default").active == 0


@pytest.mark.parametrize("broken", ["_record", "_free"])
def test_it_is_kept_with_the_dead_whatever_goes_wrong(
    finder: Pump, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*args: Any) -> Any:
        raise ConnectionError("away")

    enqueue("chores.poison")
    kill_a_worker()
    monkeypatch.setattr(settling, broken, fail)
    find(finder)
    [letter] = dead.letters("default")
    assert letter.error == dead.STALLED and letter.envelope
    assert (figures.figures("default").failed, figures.figures("default").waiting) == (1, 0)


def test_one_of_an_earlier_release_is_read_all_the_same(ctx: Flask, finder: Pump) -> None:
    enqueue("chores.poison")
    kill_a_worker()
    find(finder)
    store: Any = redis.client()
    key = Keys("default").dead
    [(nonce, value)] = store.hgetall(key).items()
    store.hset(key, nonce, b"\n" + value.partition(b"\n")[2])
    [letter] = dead.letters("default")
    assert letter.error == dead.STALLED and letter.envelope
