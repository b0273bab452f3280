"""Leases on jobs: taken, settled once, given back when their holder falls silent, and in which order."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from core.background.queue import contents, neighbours
from core.background.queue.frames import Frame, frame, head_of
from core.background.queue.leased import MOST_STALLS, Leased, Settled
from core.background.queue.neighbours import is_gone, me
from core.data import redis


@pytest.fixture
def queue(ctx: Flask) -> Leased:
    return Leased(redis.client(), "default", "one")


@pytest.fixture
def other(ctx: Flask) -> Leased:
    return Leased(redis.client(), "default", "two")


def put(queue: Leased, *messages: str, due: int = 0, priority: int = 0) -> None:
    queue.push([(due, frame(message.encode(), head_of(priority))) for message in messages])


def words(frames: list[Frame]) -> list[str]:
    return [each.message.decode() for each in frames]


def stat(queue: Leased) -> dict[str, int]:
    found: Any = queue.client.hgetall(queue.keys.stat)
    return {name.decode(): int(value) for name, value in found.items()}


def silent(queue: Leased) -> None:
    """As after its lease has run out."""
    queue.client.zadd(queue.keys.procs, {queue.process: 1_000})


def test_what_is_taken_is_nobody_elses_until_it_is_settled(queue: Leased, other: Leased) -> None:
    put(queue, "a", "b", "c")
    mine = queue.step(2).taken
    assert words(mine) == ["a", "b"]
    assert words(other.step(5).taken) == ["c"]
    assert words(queue.held()[0]) == ["a", "b"]
    step = queue.step(0, [Settled(mine[0].nonce, [("done", "", "told")])])
    assert (step.lost, words(queue.held()[0])) == ([], ["b"])
    assert stat(queue)["completed"] == 1
    assert queue.client.lrange(queue.keys.done, 0, -1) == [b"told"]


def test_settling_twice_does_nothing_twice(queue: Leased) -> None:
    put(queue, "a")
    [mine] = queue.step(1).taken
    settled = Settled(mine.nonce, [("count", "completed", 1), ("put", 0, frame(b"next"))])
    queue.step(0, [settled])
    assert queue.step(0, [settled]).lost == [mine.nonce]
    assert (stat(queue)["completed"], words(list(contents.waiting()))) == (1, ["next"])


def test_a_holder_that_fell_silent_loses_its_jobs_and_what_would_have_followed(queue: Leased, other: Leased) -> None:
    put(queue, "a", "b")
    mine = queue.step(2).taken
    silent(queue)
    stalled, dead = other.reap()
    assert (sorted(words(stalled)), dead) == (["a", "b"], [])
    assert sorted(words(other.step(2).taken)) == ["a", "b"]
    step = queue.step(0, [Settled(mine[0].nonce, [("count", "completed", 1)])])
    assert (step.lost, step.known) == ([mine[0].nonce], False), "it is told that it was given up"
    assert "completed" not in stat(queue)


def test_one_that_is_alive_keeps_its_jobs(queue: Leased, other: Leased) -> None:
    put(queue, "a")
    queue.step(1)
    assert other.reap() == ([], [])
    assert queue.beat()
    silent(queue)
    assert queue.beat(), "late, and nobody has noticed"
    assert other.reap() == ([], [])
    silent(queue)
    other.reap()
    assert not queue.beat()


def test_a_beat_renews_a_late_lease_and_raises_nobody_who_has_left(queue: Leased, other: Leased) -> None:
    put(queue, "a")
    queue.step(1)
    silent(queue)
    assert queue.beat() and other.reap() == ([], [])
    queue.leave()
    assert not queue.beat()
    assert words(other.reap()[0]) == ["a"]


def test_who_was_given_up_is_told_so_though_it_takes_back_what_others_left(queue: Leased, other: Leased) -> None:
    put(queue, "a")
    queue.step(1)
    silent(queue)
    assert words(other.reap()[0]) == ["a"]
    assert queue.reap() == ([], [])
    assert not queue.step(0).known


def test_a_job_that_stalls_too_often_is_left_to_whoever_finds_it_to_settle(queue: Leased, other: Leased) -> None:
    put(queue, "poison")
    for _ in range(MOST_STALLS):
        assert words(queue.step(1).taken) == ["poison"]
        silent(queue)
        assert words(other.reap()[0]) == ["poison"]
    queue.step(1)
    silent(queue)
    assert words(other.reap()[1]) == ["poison"]
    assert [words(each) for each in other.held()] == [[], ["poison"]], "to settle it, and not to run it"
    silent(other)
    assert words(queue.reap()[1]) == ["poison"], "should that one die, the next one is to"
    [poison] = queue.held()[1]
    queue.step(0, [Settled.of(poison, ("failed", "", b"told"), ("dead", poison.nonce, b"told\n" + poison.raw()))])
    assert [each.message for each, told in contents.dead()] == [b"poison"]
    assert (stat(queue)["stalled"], stat(queue)["failed"]) == (MOST_STALLS, 1)
    assert other.step(5).taken == [] and queue.client.hlen(queue.keys.stalls) == 0


def test_one_that_ends_its_processes_does_not_take_others_with_it(queue: Leased, other: Leased) -> None:
    put(queue, "poison", "a", "b")

    def crash() -> list[str]:
        taken = queue.step(10).taken
        silent(queue)
        dead.extend(words(other.reap()[1]))
        return words(taken)

    dead: list[str] = []
    assert [crash(), crash()] == [["poison", "a", "b"]] * 2
    put(queue, "new")
    assert crash() == ["poison", "new"], "whoever stalled twice waits for the one that did so too"
    done = []
    for _ in range(10):
        taken = queue.step(10).taken
        assert len([each for each in words(taken) if each != "new"]) <= 1
        if words(taken) == ["poison"]:
            silent(queue)
            dead.extend(words(other.reap()[1]))
            break
        done += words(taken)
        queue.step(0, [Settled(each.nonce) for each in taken])
    assert (sorted(done), dead) == (["a", "b", "new"], ["poison"])
    assert queue.step(10).taken == []
    assert queue.client.keys(f"{queue.keys.prefix}g:*") == []


@pytest.mark.parametrize(
    "head", ["0/;c.=k", "0/;r5=k", "0/;r1.0=k", "0/;c0=k", "0/;c1=k:w", "x/y;c1;r1.1=", "0/;c" + "9" * 400 + "=k"]
)
def test_a_forged_head_stops_nothing(queue: Leased, head: str) -> None:
    queue.push([(0, frame(b"forged", head.encode())), (0, frame(b"forged too", head.encode()))])
    put(queue, "ours")
    taken = queue.step(10).taken
    assert "ours" in words(taken)
    queue.step(0, [Settled.of(each) for each in taken])
    assert queue.held() == ([], [])


def test_finishing_forgets_that_a_job_has_stalled(queue: Leased, other: Leased) -> None:
    put(queue, "a")
    queue.step(1)
    silent(queue)
    other.reap()
    [mine] = other.step(1).taken
    other.step(0, [Settled(mine.nonce)])
    assert queue.client.hlen(queue.keys.stalls) == 0


def test_more_than_a_batch_comes_back_piece_by_piece(queue: Leased, other: Leased) -> None:
    put(queue, *map(str, range(500)))
    queue.step(500)
    silent(queue)
    assert [len(other.reap(limit=200)[0]) for _ in range(4)] == [200, 200, 100, 0]
    assert len(other.step(1000).taken) == 500


def test_priority_goes_first_and_equals_in_their_order(queue: Leased) -> None:
    put(queue, "plain 1", "plain 2")
    put(queue, "low", priority=-5)
    put(queue, "high 1", "high 2", priority=5)
    put(queue, "highest", priority=9)
    assert words(list(contents.waiting())) == ["highest", "high 1", "high 2", "plain 1", "plain 2", "low"]
    taken = queue.step(3).taken
    assert words(taken) == ["highest", "high 1", "high 2"]
    queue.step(0, [Settled(taken[2].nonce, [("back", "", taken[2].raw())])])
    assert words(queue.step(9).taken) == ["high 2", "plain 1", "plain 2", "low"], "what comes back comes first"


def test_what_is_not_due_waits_by_the_servers_clock(queue: Leased) -> None:
    seconds, micro = queue.client.time()  # type: ignore[misc]
    now = seconds * 1000 + micro // 1000
    put(queue, "later", due=now + 60_000)
    put(queue, "urgent", due=now - 1, priority=3)
    step = queue.step(5)
    assert words(step.taken) == ["urgent"]
    assert 50_000 < step.soon <= 60_000
    assert words(list(contents.scheduled())) == ["later"]
    contents.run_now()
    assert words(queue.step(5).taken) == ["later"]


def test_many_that_fall_due_at_once_move_in_batches(queue: Leased) -> None:
    put(queue, *map(str, range(1000)), due=1)
    contents.run_now()
    moved = [queue.step(0).waiting for _ in range(3)]
    assert moved[-1] <= 1000 and len(list(contents.scheduled())) <= 1000 - 2 * 128
    while queue.step(0).soon == 0:
        pass
    assert words(queue.step(2000).taken) == [str(number) for number in range(1000)]


def test_a_paused_queue_gives_nothing(queue: Leased) -> None:
    put(queue, "a")
    queue.client.hset(queue.keys.stat, "paused", 1)
    assert queue.step(1).taken == []
    queue.client.hdel(queue.keys.stat, "paused")
    assert words(queue.step(1).taken) == ["a"]


def test_names_of_processes_tell_whether_they_are_gone() -> None:
    mine = me()
    assert not is_gone(mine)
    here, pid, began, chance = mine.split(".")
    assert is_gone(f"{here}.{pid}.{int(began) + 1}.{chance}"), "the number was given anew"
    assert is_gone(f"{here}.4194000.{began}.{chance}")
    assert not is_gone(f"elsewhere-1.4194000.{began}.{chance}"), "of another machine nobody knows"
    assert not is_gone("drain-5")


def test_another_users_process_of_whom_nothing_is_told_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    here, _, began, chance = me().split(".")
    hidden = f"{here}.4194000.{began}.{chance}"
    assert is_gone(hidden)
    monkeypatch.setattr(neighbours.os, "kill", refuse)
    assert not is_gone(hidden)


def test_leases_of_a_process_that_has_ended_here_lapse_at_once(queue: Leased) -> None:
    gone = Leased(queue.client, "default", me().replace(".", ".419", 1))
    put(gone, "a")
    gone.step(1)
    queue.expire_gone()
    assert words(queue.reap()[0]) == ["a"]


def test_a_queue_has_a_name_that_fits_into_a_key() -> None:
    for name in ("", "Mail", "a b", "x" * 33, "{mail}", "1st"):
        with pytest.raises(ValueError, match="no name of a queue"):
            Leased(None, name, "one")  # type: ignore[arg-type]


def test_a_queued_job_takes_little_memory(queue: Leased) -> None:
    """At most 600 bytes beside a payload of 100, as the outbox would write it."""
    from core.background.queue import delivery
    from core.data.outbox import Envelope

    def used() -> int:
        names: Any = queue.client.keys(queue.keys.prefix + "*")
        return sum(int(queue.client.memory_usage(name, samples=0) or 0) for name in names)

    payload = {"text": "x" * 89}
    before = used()
    for _ in range(10):
        delivery.push([Envelope(uuid4(), "task", "shelf.count", payload) for _ in range(100)])
    assert (used() - before) / 1000 < 600 + 100
