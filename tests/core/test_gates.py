"""Limits on tasks: how many run at once, by which arguments, and how many start in a sliding window."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from redis_cable import until

from core.background import AtOnce, Rate, enqueue, task
from core.background.queue import contents, figures, framing, push, routes
from core.background.queue.frames import Frame
from core.background.queue.gates import Limit
from core.background.queue.leased import Leased, Settled
from core.background.queue.routes import Route
from core.background.tasks import Tasks
from core.data import DEFAULT, new_id, redis
from core.data.outbox import Envelope
from core.errors import BootError
from core.trust import public

did: list[int] = []


@pytest.fixture
def queue(ctx: Flask) -> Leased:
    return Leased(redis.client(), "default", "one")


@pytest.fixture
def other(ctx: Flask) -> Leased:
    return Leased(redis.client(), "default", "two")


def put(queue: Leased, limits: tuple[Limit, ...], *words: str, tenant: Any = DEFAULT.id) -> None:
    jobs = [Envelope(new_id(), "task", "chores.pay", {"account": word[0], "word": word}, tenant) for word in words]
    queue.push([(0, framing.framed(job, Route(limits=limits))) for job in jobs])


def words(frames: list[Frame]) -> list[str]:
    from core.background.queue import messages

    return [messages.decode(each.message).payload["word"] for each in frames]


def clock(queue: Leased) -> float:
    seconds, micro = queue.client.time()  # type: ignore[misc]
    return float(seconds + micro / 1e6)


def done(queue: Leased, *frames: Frame) -> None:
    queue.step(0, [Settled.of(each, ("count", "completed", 1)) for each in frames])


BY_ACCOUNT = (AtOnce(1, by=("account",)),)


def test_one_at_a_time_for_each_account_and_in_order(queue: Leased, other: Leased) -> None:
    put(queue, BY_ACCOUNT, "a1", "a2", "b1", "a3", "b2")
    first = queue.step(10).taken
    assert words(first) == ["a1", "b1"]
    assert other.step(10).taken == [] and figures.figures("default").waiting == 3
    done(queue, first[0])
    put(queue, BY_ACCOUNT, "a4")
    second = other.step(10).taken
    assert words(second) == ["a2"], "before what came later, and only one"
    done(other, *second)
    done(queue, first[1])
    assert words(queue.step(10).taken) == ["a3", "b2"]


def test_two_tenants_are_counted_apart_unless_the_task_is_limited_as_a_whole(queue: Leased) -> None:
    put(queue, BY_ACCOUNT, "a1")
    put(queue, BY_ACCOUNT, "a2", tenant=uuid4())
    assert len(queue.step(10).taken) == 2
    put(queue, (AtOnce(1),), "x1")
    put(queue, (AtOnce(1),), "x2", tenant=uuid4())
    assert len(queue.step(10).taken) == 1
    put(queue, (AtOnce(1, each_tenant=True),), "y1", "y2")
    put(queue, (AtOnce(1, each_tenant=True),), "y3", tenant=uuid4())
    assert len(queue.step(10).taken) == 2


def test_a_seat_is_free_again_when_its_holder_dies_gives_back_or_fails(queue: Leased, other: Leased) -> None:
    put(queue, BY_ACCOUNT, "a1", "a2")
    assert words(queue.step(10).taken) == ["a1"]
    queue.client.zadd(queue.keys.procs, {"one": 1})
    other.reap()
    [next_one] = other.step(10).taken
    queue.step(0)
    other.step(0, [Settled.of(next_one, ("back", "", next_one.raw()))])
    seen = []
    for _ in range(4):
        for each in other.step(1).taken:
            seen.append(each)
            done(other, each)
    assert sorted(words(seen)) == ["a1", "a2"]
    assert queue.client.keys(queue.keys.prefix + "g:*") == [], "nothing of the gates is left"
    assert figures.figures("default").waiting == 0


def test_settling_twice_frees_one_seat_once(queue: Leased) -> None:
    put(queue, BY_ACCOUNT, "a1", "a2", "a3")
    [first] = queue.step(10).taken
    done(queue, first)
    done(queue, first)
    assert words(queue.step(10).taken) == ["a2"]


def test_behind_two_gates_nobody_takes_a_seat_at_one_alone(queue: Leased) -> None:
    both = (AtOnce(2), AtOnce(1, by=("account",)))
    put(queue, both, "a1", "a2", "b1", "c1")
    first = queue.step(10).taken
    assert words(first) == ["a1", "b1"]
    done(queue, first[1])
    assert words(queue.step(10).taken) == ["c1"], "a2 waits for its account and keeps nobody else away"
    done(queue, first[0])
    assert words(queue.step(10).taken) == ["a2"]


@pytest.mark.parametrize("seed", range(3))
def test_random_work_never_passes_a_limit_and_all_is_done(queue: Leased, seed: int) -> None:
    import random

    dice = random.Random(seed)
    both = (AtOnce(3), AtOnce(2, by=("account",)))
    put(queue, both, *(dice.choice("abc") + str(number) for number in range(60)))
    crews = [Leased(redis.client(), "default", name) for name in ("x", "y")]
    held: list[tuple[Leased, Frame]] = []
    finished: list[str] = []
    while len(finished) < 60:
        crew = dice.choice(crews)
        held += [(crew, each) for each in crew.step(dice.randint(0, 3)).taken]
        now = words([each for _, each in held])
        assert len(now) <= 3 and all(sum(word[0] == account for word in now) <= 2 for account in "abc")
        if held and dice.random() < 0.7:
            crew, each = held.pop(dice.randrange(len(held)))
            if dice.random() < 0.2:
                crew.step(0, [Settled.of(each, ("back", "", each.raw()))])
            else:
                finished += words([each])
                done(crew, each)
        assert sum(map(int, queue.client.hvals(queue.keys.gate_lengths))) == at_gates(queue)  # type: ignore[arg-type]
    assert len(set(finished)) == 60 and at_gates(queue) == 0


def at_gates(queue: Leased) -> int:
    store: Any = queue.client
    return sum(store.llen(queue.keys.at_gate(gate.decode())) for gate in store.smembers(queue.keys.gated))


def test_no_more_start_in_any_window_than_the_rate_allows(queue: Leased) -> None:
    rate = (Rate(5, per=0.4),)
    put(queue, rate, *(f"a{number}" for number in range(17)))
    starts: list[tuple[float, float]] = []  # each lies between these two moments of the server's clock

    def turn() -> bool:
        before, taken, after = clock(queue), queue.step(10).taken, clock(queue)
        starts.extend([(before, after)] * len(taken))
        done(queue, *taken)
        return len(starts) == 17

    until(turn)
    windows = zip(starts, itertools.islice(starts, 5, None), strict=False)
    # The server counts whole milliseconds.
    assert all(latest - earliest > 0.4 - 0.001 for (earliest, _), (_, latest) in windows)


def test_those_that_wait_for_the_rate_wait_and_take_no_hand(queue: Leased) -> None:
    put(queue, (Rate(1, per=3600),), "a1", "a2", "a3")
    put(queue, (), "free")
    assert words(queue.step(10).taken) == ["a1", "free"]
    told = figures.figures("default")
    assert (told.waiting, told.delayed, told.active) == (2, 0, 2)


def test_a_million_at_a_closed_gate_do_not_make_one_step_long(queue: Leased) -> None:
    put(queue, (AtOnce(1),), *(f"a{number}" for number in range(450)))
    put(queue, (), "free")
    assert words(queue.step(10).taken) == ["a0"]
    found = [word for _ in range(4) for word in words(queue.step(10).taken)]
    assert found == ["free"], "200 a step are looked at, and all are passed"


# -- by name, as authors say it -----------------------------------------------------------------------------------


@task(limits=(AtOnce(1, by=("account",)), Rate(1000, per=60)))
@public
def pay(account: str, number: int) -> None:
    did.append(number)


@task(limits=AtOnce(1, by=("account",)))
@public
def pay_some(number: int, account: str = "savings") -> None: ...


@pytest.fixture
def chores(ctx: Flask, worker_app: Flask) -> Iterator[None]:
    module = ModuleType("chores.tasks")
    for function in (pay, pay_some):
        function.__module__ = module.__name__
        vars(module)[function.__name__] = function
    did.clear()
    before = worker_app.extensions["pegboard.tasks"]._tasks.copy()
    worker_app.extensions["pegboard.tasks"].add("chores", module)
    with worker_app.app_context():
        routes.tell(worker_app)
    yield
    worker_app.extensions["pegboard.tasks"]._tasks = before
    with worker_app.app_context():
        routes.tell(worker_app)


def test_an_enqueuer_that_knows_no_tasks_minds_their_limits(chores: None, run_jobs: Callable[[], int]) -> None:
    for number in range(5):
        enqueue("chores.pay", account="x", number=number)
    assert all(each.gated for each in contents.waiting())
    assert run_jobs() == 5
    assert did == [0, 1, 2, 3, 4]
    assert figures.figures("default").waiting == 0


def test_an_argument_that_is_left_out_is_its_default(ctx: Flask, chores: None) -> None:
    enqueue("chores.pay_some", number=1)
    enqueue("chores.pay_some", number=2, account="savings")
    enqueue("chores.pay_some", number=3, account="other")
    assert len(Leased(redis.client(), "default", "one").step(10).taken) == 2


def test_a_job_from_before_its_limits_were_known_gets_them(worker_app: Flask, chores: None) -> None:
    from core.background.queue.huey import BoardHuey
    from core.background.queue.pump import Pump

    job = Envelope(new_id(), "task", "chores.pay", {"account": "x", "number": 1}, DEFAULT.id)
    plain = framing.framed(job, Route())
    queue = Leased(redis.client(), "default", "one")
    queue.push([(0, plain)])
    with worker_app.app_context():
        huey = BoardHuey(worker_app, Pump(queue, 1))
        [taken] = queue.step(1).taken
        assert huey._read(taken) is None
        huey.pump._step()
    [waiting] = [*contents.waiting(), *contents.leased()]
    assert waiting.gated


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ((AtOnce(0),), "say how many, from 1"),
        ((Rate(1, per=0),), "per= is seconds"),
        ((AtOnce(1, by=("colour",)),), "is limited by colour, which it does not take"),
        ((5,), "write limits=(AtOnce(1),)"),
    ],
)
def test_limits_that_cannot_be_stop_the_boot(limits: Any, said: str) -> None:
    module = ModuleType("chores.tasks")

    @task(limits=limits)
    @public
    def chore(account: str) -> None: ...

    chore.__module__ = module.__name__
    vars(module)["chore"] = chore
    with pytest.raises(BootError, match=said.replace("(", r"\(").replace(")", r"\)")):
        Tasks().add("chores", module)


def test_the_same_job_put_twice_has_one_place(ctx: Flask) -> None:
    job = Envelope(new_id(), "task", "chores.pay", {}, DEFAULT.id)
    push([job])
    push([job, Envelope(new_id(), "task", "chores.pay", {}, DEFAULT.id)])
    assert len(list(contents.waiting())) == 2
