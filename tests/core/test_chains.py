"""Chains and groups: each step begins when what it follows is done, with what that answered, once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from core.background import current_job, enqueue_chain, enqueue_group, step, task
from core.background.queue import chaining, contents, dead, messages, routes, settling
from core.background.queue.keys import Keys
from core.background.queue.leased import Leased, Settled
from core.background.queue.running import attempt
from core.background.queue.steps import following_group, next_id
from core.contracts import Principal
from core.data import DEFAULT, PLATFORM, acting_in, current_tenant, new_id, outbox, redis, unit
from core.data.envelopes import MAX_PAYLOAD, Envelope, Group, Then
from core.trust import acting_as, current_principal, public

RunJobs = Callable[[], int]
USER = Principal("user", new_id(), DEFAULT.id)

did: list[Any] = []
breaks: set[str] = set()


@task(retries=0)
@public
def fetch(url: str) -> dict[str, Any]:
    did.append(("fetch", url))
    if url in breaks:
        raise ValueError("no such page")
    return {"url": url, "words": len(url)}


@task(retries=2, retry_delay=0)
@public
def read(page: dict[str, Any], loud: bool = False) -> str:
    did.append(("read", page["url"], current_job().attempt))
    if current_job().attempt == 1 and "slow" in page["url"]:
        raise ValueError("at first")
    return page["url"].upper()


@task(queue="mail")
@public
def tell(text: Any = None) -> int:
    did.append(("tell", text))
    return 5


@task(retries=0)
@public
def bind(pages: list[Any], title: str = "") -> None:
    did.append(("bind", pages, title))


@task()
@public
def number(number: int) -> int:
    did.append(number)
    return number * 2


@task(queue="mail")
@public
def mailed(number: int) -> int:
    did.append(number)
    return number * 2


@task(retries=0)
@public
def large(size: int) -> str:
    return "x" * size


@task(followed=True)
@public
def shown(word: str = "") -> str:
    did.append(("shown", word))
    return word + "!"


@task(unique=True)
@public
def alone() -> None:
    did.append("alone")


@task()
@public
def who() -> None:
    did.append((current_tenant().id, current_principal()))


TASKS = (fetch, read, tell, bind, number, mailed, large, shown, alone, who)


@pytest.fixture(autouse=True)
def chores(ctx: Flask, worker_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.getLogger("core.background.queue.running"), "disabled", True)
    module = ModuleType("chores.tasks")
    for function in TASKS:
        function.__module__ = module.__name__
        vars(module)[function.__name__] = function
    did.clear()
    breaks.clear()
    tasks = worker_app.extensions["pegboard.tasks"]
    before = tasks._tasks.copy()
    tasks.add("chores", module)
    with worker_app.app_context():
        routes.tell(worker_app)
    yield
    tasks._tasks = before
    with worker_app.app_context():
        routes.tell(worker_app)


def groups() -> list[bytes]:
    store: Any = redis.client()
    return [key for key in store.keys("pb:q:*:group:*") if store.hlen(key) > 1]


# -- chains ---------------------------------------------------------------------------------------------------------


def test_each_step_begins_when_the_one_before_is_done_with_its_result(run_jobs: RunJobs) -> None:
    enqueue_chain(
        step("chores.fetch", url="a"),
        step("chores.read", loud=True).given("page"),
        step("chores.tell").given("text"),
        step("chores.number", number=7),
    )
    assert len(list(contents.waiting())) == 1
    assert run_jobs() == 4
    assert did == [("fetch", "a"), ("read", "a", 1), ("tell", "A"), 7]


def test_a_step_that_is_tried_again_still_has_what_follows(run_jobs: RunJobs) -> None:
    enqueue_chain(
        step("chores.fetch", url="slow"), step("chores.read").given("page"), step("chores.tell").given("text")
    )
    contents.run_now()
    run_jobs()
    contents.run_now()
    run_jobs()
    assert did == [("fetch", "slow"), ("read", "slow", 1), ("read", "slow", 2), ("tell", "SLOW")]


# -- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chores.number", "chores.mailed"])
def test_what_follows_a_group_begins_once_with_all_results_in_order(run_jobs: RunJobs, name: str) -> None:
    enqueue_group(
        [step(name, number=number) for number in range(5)], then=step("chores.bind", title="B").given("pages")
    )
    run_jobs()
    assert did[:5] == [0, 1, 2, 3, 4] and did[5:] == [("bind", [0, 2, 4, 6, 8], "B")]
    assert groups() == [], "nobody needs the results any more"


def test_members_may_be_of_several_queues(run_jobs: RunJobs) -> None:
    members = [step("chores.number", number=1), step("chores.mailed", number=2), step("chores.number", number=3)]
    enqueue_group(members, then=step("chores.tell").given("text"))
    run_jobs()
    assert sorted(did[:3]) == [1, 2, 3] and did[3:] == [("tell", [2, 4, 6])]
    assert groups() == []
