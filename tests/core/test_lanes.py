"""Fair shares: each tenant's jobs wait in a lane of their own, and whoever was served least goes first."""

from __future__ import annotations

from collections import Counter
from uuid import UUID, uuid4

import pytest
from flask import Flask

from core.background.queue import contents
from core.background.queue.frames import frame, head_of, lane_of, tenant_of
from core.background.queue.leased import Leased, Settled
from core.background.queue.lua import CREDIT
from core.data import redis

ALICE, BOB, CAROL = uuid4(), uuid4(), uuid4()


@pytest.fixture
def queue(ctx: Flask) -> Leased:
    return Leased(redis.client(), "default", "one")


def put(queue: Leased, tenant: UUID | None, many: int, priority: int = 0) -> None:
    head = head_of(priority, lane_of(tenant))
    queue.push([(0, frame(str(number).encode(), head)) for number in range(many)])


def served(queue: Leased, wanted: int) -> list[UUID | None]:
    taken = queue.step(wanted).taken
    queue.step(0, [Settled.of(each) for each in taken])
    return [tenant_of(each.lane) for each in taken]


def test_a_tenant_with_many_jobs_does_not_hold_up_one_with_few(queue: Leased) -> None:
    put(queue, ALICE, 2_000)
    for _ in range(10):
        assert served(queue, 100) == [ALICE] * 100
    put(queue, BOB, 20)
    assert served(queue, 30) == [BOB] * 20 + [ALICE] * 10


def test_two_that_always_have_work_share_it_however_much_each_has(queue: Leased) -> None:
    put(queue, ALICE, 3_000)
    served(queue, 1_000)
    put(queue, BOB, 2_000)
    got = Counter(tenant for _ in range(40) for tenant in served(queue, 50))
    assert got[BOB] - got[ALICE] == pytest.approx(CREDIT, abs=1), "a start, and then turn by turn"
    assert served(queue, 1) != served(queue, 1)


def test_coming_and_going_earns_no_second_start(queue: Leased) -> None:
    put(queue, ALICE, 3_000)
    served(queue, 1_000)
    for _ in range(30):
        put(queue, BOB, 50)
        served(queue, 50)
    got = Counter()  # type: ignore[var-annotated]
    for _ in range(10):
        put(queue, BOB, 50)
        got.update(served(queue, 50))
    assert got[ALICE] == pytest.approx(250, abs=50)


def test_jobs_of_no_tenant_take_turns_too(queue: Leased) -> None:
    put(queue, ALICE, 1_000)
    served(queue, 600)
    put(queue, None, 5)
    assert served(queue, 6) == [None] * 5 + [ALICE]


def test_priority_counts_within_a_tenant(queue: Leased) -> None:
    put(queue, ALICE, 1)
    put(queue, ALICE, 1, priority=5)
    put(queue, BOB, 1)
    taken = queue.step(2).taken
    assert {(tenant_of(each.lane), each.head.split(b"/")[0]) for each in taken} == {(ALICE, b"5"), (BOB, b"0")}


def test_what_comes_back_goes_before_what_waits(queue: Leased) -> None:
    put(queue, ALICE, 3)
    [first] = queue.step(1).taken
    queue.step(0, [Settled.of(first, ("back", "", first.raw()))])
    assert [each.message for each in queue.step(3).taken] == [b"0", b"1", b"2"]


def test_a_lane_is_found_by_its_tenant(queue: Leased) -> None:
    put(queue, ALICE, 3)
    put(queue, BOB, 2)
    put(queue, BOB, 1, priority=-3)
    assert len(list(contents.waiting())) == 6 == contents.waiting_count(queue.client, queue.keys)
    assert [each.lane for each in contents.waiting(lane=lane_of(BOB))] == [lane_of(BOB)] * 3
    assert lane_of(None) == "" and tenant_of("") is None


def test_what_a_tenant_was_served_is_forgotten_once_it_tells_nothing(queue: Leased) -> None:
    put(queue, CAROL, 1)
    served(queue, 1)
    put(queue, ALICE, 2 * CREDIT)
    for _ in range(CREDIT // 50 + 1):
        served(queue, 50)
    queue.reap()
    assert queue.client.zrange(queue.keys.prefix + "idle", 0, -1) == []
