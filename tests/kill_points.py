"""Where whoever talks to Redis is met, what there is to do then, and what must be true once all of it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from grounds import Ground, Point

from core.background.chains import enqueue_chain, enqueue_group, step
from core.background.queue import contents, dead
from core.background.queue.figures import figures
from core.background.schedules.models import ScheduleRow
from core.background.tasks import enqueue, enqueue_in
from core.data import db, outbox, redis, utcnow
from core.data.tenancy import bypass
from core.data.unit import unit

QUEUE = "core/background/queue"
SIZE, CHAIN = 4, ("note", "stumble", "show")
"""Jobs that a worker runs at once; the tasks of a chain."""

TASKS = """\
    import time
    from core.background import AtOnce, current_job, task
    from core.data import redis
    from core.data.unit import in_steps
    from core.trust import public

    def did(number: int) -> None:
        time.sleep(0.002)
        redis.client().rpush("chores:done", number)

    @task()
    @public
    @in_steps
    def note(number: int) -> None:
        did(number)

    @task(retry_delay=0.01)
    @public
    @in_steps
    def stumble(number: int) -> None:
        if redis.client().incr(f"chores:tries:{number}") == 1:
            raise ValueError("at first")
        did(number)

    @task(unique=True)
    @public
    @in_steps
    def alone(number: int) -> None:
        did(number)

    @task(limits=(AtOnce(1),))
    @public
    @in_steps
    def one_by_one(number: int) -> None:
        did(number)

    @task(followed=True)
    @public
    @in_steps
    def show(number: int) -> None:
        current_job().log("now")
        did(number)

    @task()
    @public
    @in_steps
    def bind(number: int, after: list[int], results: list[None]) -> None:
        there = {int(each) for each in redis.client().lrange("chores:done", 0, -1)}
        if not there >= set(after) or results != [None] * len(after):
            redis.client().rpush("chores:early", number)
        did(number)

    @task(retries=0)
    @public
    def fail(number: int) -> None:
        raise ValueError("always")
    """


WORKERS = (
    Point("the task", "worker", (1, 2, 5)),
    Point(f"{QUEUE}/leased.py:Leased.step", "worker", (1, 2, 3, 4, 6)),
    Point(f"{QUEUE}/leased.py:Leased.reap", "worker"),
    Point(f"{QUEUE}/leased.py:Leased.expire_gone", "worker", (1, 2)),
    Point(f"{QUEUE}/leased.py:Leased.beat", "worker"),
    Point(f"{QUEUE}/leased.py:Leased.held", "unsure_worker"),
    Point(f"{QUEUE}/leased.py:Leased.leave", "leaving_worker"),
    Point(f"{QUEUE}/routes.py:tell", "worker"),
    Point("core/background/schedules/tasks.py:tell", "worker"),
    Point(f"{QUEUE}/telling.py:Teller._send", "worker", (1, 2)),
)
ENQUEUERS = (
    Point(f"{QUEUE}/delivery.py:_push", "enqueuer"),
    Point(f"{QUEUE}/delivery.py:remember", "enqueuer"),
    Point(f"{QUEUE}/delivery.py:_push", "scheduler"),
    Point(f"{QUEUE}/delivery.py:remember", "scheduler"),
)
CALLS = {
    "core/background/duties.py:_record": "run_duty",
    "core/background/lease.py:Lease.take": "hold_lease",
    "core/background/lease.py:Lease.keep_alive": "hold_lease",
    "core/background/lease.py:Lease.release": "hold_lease",
    f"{QUEUE}/dead.py:replay": "replay",
    f"{QUEUE}/dead.py:discard": "discard",
    f"{QUEUE}/groups.py:apply": "count",
    f"{QUEUE}/kept.py:_not_on": "confirm",
    f"{QUEUE}/figures.py:pause": "pause_and_resume",
    f"{QUEUE}/figures.py:resume": "pause_and_resume",
    f"{QUEUE}/retention.py:forget": "forget",
    f"{QUEUE}/retention.py:forget_counts": "forget_counts",
}
ELSEWHERE = {
    f"{QUEUE}/leased.py:Leased.push": "Huey's own API does that, and is met in `test_huey_kill_points.py`",
    f"{QUEUE}/contents.py:run_now": "a tool of tests",
}


def some(first: int) -> list[int]:
    """A few jobs of each kind, in one transaction; the last of them never succeeds."""
    with unit():
        for number in range(first, first + 4):
            enqueue("chores.note", number=number)
        enqueue("chores.stumble", number=first + 4)
        enqueue("chores.alone", number=first + 5)
        for number in range(first + 6, first + 9):
            enqueue("chores.one_by_one", number=number)
        enqueue_in(0.3, "chores.note", number=first + 9)
        enqueue("chores.show", number=first + 10)
        enqueue("chores.fail", number=first + 11)
        chain = list(range(first + 12, first + 15))
        enqueue_chain(*(step(f"chores.{name}", number=each) for name, each in zip(CHAIN, chain, strict=True)))
        group = [first + 15, first + 16]
        members = [step("chores.note", number=group[0]), step("chores.stumble", number=group[1])]
        enqueue_group(members, then=step("chores.bind", number=first + 17, after=group).given("results"))
    return [*range(first, first + 11), *chain, *group, first + 17]


def in_order() -> bool:
    """Whether each chain went step by step, and nothing that follows a group was early."""
    store: Any = redis.client()
    found = [int(each) for each in store.lrange("chores:done", 0, -1)]
    chains = [[found.index(first + at) for at in (12, 13, 14)] for first in found if first % 34 == 0]
    return store.llen("chores:early") == 0 and all(each == sorted(each) for each in chains)


def schedule(numbers: Sequence[int]) -> None:
    """A schedule for each, that is due."""
    for number in numbers:
        facts = {"task": "chores.note", "arguments": {"number": number}, "timezone": "UTC", "misfire": "once"}
        tick = {"cron": None, "every_seconds": 3600, "next_at": utcnow() - timedelta(seconds=1)}
        with unit():
            row = ScheduleRow(name=f"chores.{number}", enabled=True, source="runtime", **facts, **tick)
            db.session.add(row)


def done() -> Counter[int]:
    store: Any = redis.client()
    return Counter(int(each) for each in store.lrange("chores:done", 0, -1))


def nothing_is_left() -> bool:
    """Not a job, a lease, or a seat at a gate."""
    store: Any = redis.client()
    places = (b"p", b"g", b"f", b"w", b"z", b"gate_lengths", b"passes", b"passed", b"unserved")
    held = [key for key in store.keys("pb:q:{default}:*") if key.split(b":")[3] in places]
    now = figures("default")
    assert (now.waiting, now.delayed, now.active, now.workers) == (0, 0, 0, 0)
    assert held == [], "nobody holds a lease, or a seat"
    return True


def all_is_done(wanted: Sequence[int], batches: int, kills: int) -> None:
    """After so many of ``some``, and so many kills."""
    found = done()
    assert set(wanted) - set(found) == set(), "each is done"
    assert set(found) - set(wanted) == set()
    assert found.total() - len(wanted) <= kills * SIZE, "twice at most what was running at a kill"
    assert figures("default").dead == batches == len(list(dead.letters("default")))
    assert nothing_is_left() and in_order()
    store: Any = redis.client()
    assert {store.hget(key, "state") for key in store.keys("pb:q:{default}:h:*")} == {b"done"}, "stories end too"


def outbox_is_empty() -> bool:
    with bypass("outbox sweep"), unit():
        return db.session.query(outbox.OutboxRow).count() == 0


def done_or_not_begun(ground: Ground, kill: Ground, site: str, moment: str) -> None:
    """Of one of the ``CALLS``. ``kill`` has somebody die on the ground."""
    name, key = CALLS[site], f"pb:-:chores:{moment}"
    if name in ("replay", "discard", "forget"):
        enqueue("chores.fail", number=0)
        assert ground("idle_worker") == 0
    elif name == "confirm":
        enqueue("chores.note", number=0)
    kill("call", site, 1, moment, call=name, key=key)
    places = [len(list(place("default"))) for place in (contents.waiting, contents.dead)]
    left, right = {"replay": ([0, 1], [1, 0]), "count": ([0, 0], [1, 0])}.get(name, ([0, 1], [0, 0]))
    if name in ("replay", "discard", "forget", "count"):
        known = {"before": [left], "sent": [left, right]}
        assert places in known.get(moment, [right]), f"it is done or not begun, {moment=}"
    if name == "hold_lease":
        assert ground("call", call="hold_lease_soon", key=key) == 0, "it lapses with whoever held it"
    elif name == "count":
        assert ground("call", call=name, key=key) == 0
        assert len(list(contents.waiting("default"))) == 1, "counted twice it begins once all the same"
    elif name == "confirm":
        assert ground("call", call=name) == 0
        assert len(list(contents.waiting("default"))) == 1 and outbox_is_empty()
    elif name == "pause_and_resume":
        assert ground("call", call=name) == 0 and not figures("default").paused
    assert ground("idle_worker") == 0
    for letter in list(dead.letters("default")):
        dead.discard(letter)
