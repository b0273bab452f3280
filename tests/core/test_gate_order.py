"""Who waits at a limit is let in in order, holds nobody else up, and never makes one turn of a worker long."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from redis_cable import until
from test_gates import BY_ACCOUNT, clock, done, put, words

from core.background import AtOnce, Rate
from core.background.queue import contents, framing
from core.background.queue.frames import Frame, frame, head_of
from core.background.queue.gates import Limit
from core.background.queue.leased import Leased, Settled
from core.background.queue.routes import Route
from core.data import DEFAULT, new_id, redis
from core.data.outbox import Envelope

BOTH = (AtOnce(2), AtOnce(1, by=("account",)))
MOST = 210
"""Jobs that one turn may move, about: 200 are looked at, and at a gate 100."""


@pytest.fixture
def queue(ctx: Flask) -> Leased:
    return Leased(redis.client(), "default", "one")


@pytest.fixture
def other(ctx: Flask) -> Leased:
    return Leased(redis.client(), "default", "two")


def put_many(queue: Leased, limits: tuple[Limit, ...], many: int) -> None:
    """Of the account ``a``."""
    for start in range(0, many, 500):
        payload = {"account": "a", "word": "a"}
        jobs = [Envelope(new_id(), "task", "chores.pay", payload, DEFAULT.id) for _ in range(min(500, many - start))]
        queue.push([(0, framing.framed(job, Route(limits=limits))) for job in jobs])


def work_off(queue: Leased) -> list[str]:
    order: list[str] = []
    while taken := queue.step(10).taken:
        order += words(taken)
        done(queue, *taken)
    return order


def lengths(queue: Leased) -> dict[bytes, int]:
    store: Any = queue.client
    return {gate: store.llen(queue.keys.at_gate(gate.decode())) for gate in store.smembers(queue.keys.gated)}


def is_clean(queue: Leased) -> bool:
    """Nothing of gates and rates is left, but the starts in a window."""
    store: Any = queue.client
    places = {key.split(b":")[3] for key in store.keys(queue.keys.prefix + "*")}
    return not places & {b"g", b"f", b"gated", b"gate_lengths", b"rates", b"passes", b"passed", b"stood", b"unserved"}


@pytest.mark.parametrize("how", ["given back", "stalled"])
def test_one_that_comes_back_keeps_its_place(queue: Leased, other: Leased, how: str) -> None:
    put(queue, BY_ACCOUNT, "a1", "a2", "a3", "b1")
    first, _ = queue.step(10).taken
    assert words([first]) == ["a1"]
    if how == "stalled":
        other.step(10)
        queue.leave()
        other.reap()
    else:
        queue.step(0, [Settled.of(first, ("back", "", first.raw()))])
    assert [word for word in work_off(other) if word[0] == "a"] == ["a1", "a2", "a3"]
    if how == "given back":
        queue.leave()
        other.reap()
        assert work_off(other) == ["b1"]
    assert is_clean(queue)


@pytest.mark.parametrize("priority", [0, 5, -5])
@pytest.mark.parametrize("how", ["back", "reap"])
def test_several_that_come_back_are_in_their_order(queue: Leased, other: Leased, how: str, priority: int) -> None:
    queue.push([(0, frame(b"%d" % number, head_of(priority))) for number in range(5)])
    taken = queue.step(4).taken
    if how == "back":
        queue.step(0, [Settled.of(each, ("back", "", each.raw())) for each in reversed(taken)])
    else:
        queue.leave()
        other.reap()
    assert [each.message for each in other.step(9).taken] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_tenant_at_its_gates_holds_no_other_up(queue: Leased) -> None:
    """Ten accounts, of each many wait, and ten hands: each that ends lets the next of its account in."""
    put(queue, BY_ACCOUNT, *(f"{account}{number}" for account in "abcdefghij" for number in range(40)))
    running = queue.step(10).taken
    while len(running) < 10 or sum(lengths(queue).values()) < 390:
        running += queue.step(10 - len(running) or 1).taken
    put(queue, (), "Z", tenant=uuid4())
    for _ in range(4):
        running = queue.step(len(running), [Settled.of(each) for each in running]).taken
        if "Z" in words(running):
            return
    raise AssertionError("the other tenant waits behind all that is at the gates")


def test_a_limit_that_is_raised_lets_in_those_that_wait_by_the_old_one(queue: Leased) -> None:
    put(queue, (AtOnce(1),), "a1", "a2")
    running = queue.step(10).taken
    put(queue, (AtOnce(3),), *(f"b{number}" for number in range(10)))
    running += queue.step(2).taken
    assert len(running) == 3
    running += queue.step(1, [Settled.of(running.pop(0))]).taken
    running += queue.step(1, [Settled.of(running.pop(0))]).taken
    assert "a2" in words(running)


# -- at a rate ------------------------------------------------------------------------------------------------------


def test_a_backlog_goes_in_its_order(queue: Leased) -> None:
    put(queue, (Rate(3, per=0.05),), *(f"a{number}" for number in range(30)))
    dice, order = random.Random(2), list[str]()

    def turn() -> bool:
        taken = queue.step(dice.randint(1, 5)).taken
        order.extend(words(taken))
        done(queue, *taken)
        return len(order) == 30

    until(turn)
    assert order == [f"a{number}" for number in range(30)] and is_clean(queue)


def test_who_has_waited_goes_before_who_comes(queue: Leased) -> None:
    rate = (Rate(1, per=0.05),)
    put(queue, rate, *(f"a{number}" for number in range(8)))
    order: list[str] = []

    def turn() -> bool:
        put(queue, rate, f"z{len(order)}")
        taken = queue.step(5).taken
        order.extend(words(taken))
        done(queue, *taken)
        return len(order) >= 8

    until(turn)
    assert order[:8] == [f"a{number}" for number in range(8)]


def test_where_nothing_is_taken_nobody_is_let_through(queue: Leased) -> None:
    """What was let through and does not begin would begin together later, and be too many."""
    put(queue, (Rate(2, per=0.02),), *(f"a{number}" for number in range(20)))
    queue.step(9)
    begun = clock(queue)
    until(lambda: clock(queue) - begun > 0.1)
    for _ in range(20):
        assert queue.step(0).soon == -1, "nor does anybody come back for it"
    assert len(queue.step(9).taken) == 2


@pytest.mark.parametrize("seed", range(4))
def test_limits_of_both_kinds_are_never_passed_and_all_is_done(queue: Leased, seed: int) -> None:
    dice = random.Random(seed)
    limits = (AtOnce(3), Rate(4, per=0.02), AtOnce(2, by=("account",)), Rate(9, per=0.06, each_tenant=True))
    put(queue, limits, *(dice.choice("abc") + str(number) for number in range(60)))
    crews = [Leased(redis.client(), "default", name) for name in ("x", "y")]
    held: list[tuple[Leased, Frame]] = []
    finished: list[str] = []
    starts: list[tuple[float, float]] = []

    def turn() -> bool:
        crew = dice.choice(crews)
        before, taken = clock(queue), crew.step(dice.randint(0, 3)).taken
        starts.extend([(before, clock(queue))] * len(taken))
        held.extend((crew, each) for each in taken)
        now = words([each for _, each in held])
        assert len(now) <= 3 and all(sum(word[0] == account for word in now) <= 2 for account in "abc")
        if held and dice.random() < 0.7:
            crew, each = held.pop(dice.randrange(len(held)))
            if dice.random() < 0.2:
                crew.step(0, [Settled.of(each, ("back", "", each.raw()))])
            else:
                finished.extend(words([each]))
                done(crew, each)
        assert sum(map(int, queue.client.hvals(queue.keys.gate_lengths))) == sum(lengths(queue).values())  # type: ignore[arg-type]
        return len(finished) == 60

    until(turn)
    for many, per in ((4, 0.02), (9, 0.06)):
        for (earliest, _), (_, latest) in zip(starts, starts[many:], strict=False):
            assert latest - earliest > per - 0.001
    assert len(set(finished)) == 60 and is_clean(queue)


# -- how long a turn takes --------------------------------------------------------------------------------------------


def moved(queue: Leased, step: Callable[[], Any]) -> int:
    """At most how many jobs came to a gate, or left one."""
    before = lengths(queue)
    step()
    after = lengths(queue)
    return max((abs(after.get(gate, 0) - before.get(gate, 0)) for gate in {*before, *after}), default=0)


def settled(*frames: Frame) -> Sequence[Settled]:
    return [Settled.of(each) for each in frames]


def test_those_that_wait_for_a_seat_do_not_all_go_and_wait_for_the_rate_at_once(queue: Leased) -> None:
    put_many(queue, (AtOnce(1), Rate(1, per=3600)), 1500)
    [running] = queue.step(1).taken
    while queue.step(1).waiting:
        pass
    assert moved(queue, lambda: queue.step(1, settled(running))) <= MOST
    while (step := queue.step(1)).waiting:
        assert step.taken == []
    [many] = lengths(queue).values()
    assert many == 1499, "in the end they all do"
    assert len(list(contents.waiting())) == 1499


def test_a_backlog_of_one_account_is_not_moved_to_and_fro(queue: Leased) -> None:
    put(queue, BOTH, "b0", "c0")
    running = queue.step(2).taken
    put_many(queue, BOTH, 1500)
    while queue.step(1).waiting:
        pass
    moves = 0
    for number in range(40):
        put(queue, BOTH, f"{'bcdefgh'[number % 7]}{number}")  # others go on coming, one for each that ends
        queue.step(1)
        ended = running.pop(0)
        step = [ended]

        def turn(step: list[Frame] = step) -> None:
            running.extend(queue.step(2 - len(running), settled(*step)).taken)

        now = moved(queue, turn)
        assert now <= MOST
        moves += now
        step.clear()
        while len(running) < 2 and queue.client.exists(queue.keys.prefix + "unserved"):
            now = moved(queue, turn)
            assert now <= MOST
            moves += now
    assert moves < 1500 + 40 * 10, "each goes once from the one gate to the other"
