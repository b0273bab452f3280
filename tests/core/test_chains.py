"""Chains and groups: each step begins when what it follows is done, with what that answered, once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from chores_here import chores_of
from flask import Flask
from handover import NOW, leave
from redis.exceptions import ConnectionError
from throwaway import eventually, install

from core.background import chain_tasks, chains, current_job, enqueue, enqueue_chain, enqueue_group, step, task
from core.background.queue import chaining, contents, dead, delivery, figures, following, messages, routes, settling
from core.background.queue.groups import NoResults
from core.background.queue.keys import Keys
from core.background.queue.leased import Leased, Settled
from core.background.queue.running import attempt
from core.background.queue.steps import following_group, next_id
from core.contracts import Principal
from core.data import DEFAULT, PLATFORM, acting_in, current_tenant, new_id, outbox, redis, sweeping, unit
from core.data.envelopes import MAX_PAYLOAD, Envelope, Group, Then
from core.ops.processes import Process
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


FARTHER = ("far", "near", "far")
TASKS = (fetch, read, tell, bind, number, mailed, large, shown, alone, who)


@pytest.fixture(autouse=True)
def chores(ctx: Flask, worker_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.getLogger("core.background.queue.running"), "disabled", True)
    did.clear()
    breaks.clear()
    with chores_of(worker_app, *TASKS):
        yield


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


def test_a_step_that_fails_for_good_ends_its_chain_until_it_is_replayed(run_jobs: RunJobs) -> None:
    breaks.add("a")
    enqueue_chain(step("chores.fetch", url="a"), step("chores.read").given("page"), step("chores.tell").given("text"))
    run_jobs()
    assert did == [("fetch", "a")]
    breaks.clear()
    [letter] = dead.letters("default")
    assert letter.envelope and letter.envelope.then and len(letter.envelope.then.steps) == 2
    assert dead.replay(letter)
    run_jobs()
    assert did[1:] == [("fetch", "a"), ("read", "a", 1), ("tell", "A")]


def test_a_chain_that_loses_a_lease_goes_on_once(ctx: Flask, worker_app: Flask) -> None:
    enqueue_chain(step("chores.number", number=1), step("chores.number").given("number"))
    one, other = (Leased(redis.client(), "default", name) for name in ("one", "other"))
    [frame] = one.step(1).taken
    outcome = attempt(messages.decode(frame.message), worker_app)
    one.leave()
    other.reap()
    [again] = other.step(1).taken
    effects = settling.effects_of(again, attempt(messages.decode(again.message), worker_app), "default")
    assert one.step(0, [Settled.of(frame, *settling.effects_of(frame, outcome, "default"))]).lost == [frame.nonce]
    assert list(contents.waiting()) == [], "nothing follows from what is another's by now"
    for _ in range(2):  # what is sent again does nothing twice
        other.step(0, [Settled.of(again, *effects)])
    [following] = [messages.decode(each.message) for each in contents.waiting()]
    assert (following.payload, following.attempt) == ({"number": 2}, 1)
    first = messages.decode(frame.message)
    assert following.id == next_id(first) and following.id.version == 7
    assert following.id.int >> 80 == first.id.int >> 80, "of the same millisecond"
    assert messages.age(following) < messages.age(first)


def test_a_job_that_is_followed_tells_which_comes_next(run_jobs: RunJobs, worker_app: Flask) -> None:
    with acting_as(USER):
        job = enqueue_chain(step("chores.shown", word="a"), step("chores.shown").given("word"))
        run_jobs()
        from plugins.jobs.services.following import how

        with worker_app.app_context(), acting_in(DEFAULT), acting_as(USER), unit():
            first = how(job)
            assert first.state == "done" and first.result == "a!" and first.next
            second = how(first.next)
    assert (second.state, second.result, second.next) == ("done", "a!!", None)


def test_what_does_not_fit_is_refused_at_once(ctx: Flask) -> None:
    long = "x" * (MAX_PAYLOAD // 2)
    with pytest.raises(ValueError, match="has one step"):
        enqueue_chain()
    with pytest.raises(ValueError, match="nothing comes before it"):
        enqueue_chain(step("chores.read").given("page"))
    with pytest.raises(ValueError, match="page is given already"):
        step("chores.read", page={}).given("page")
    for write in (
        lambda: enqueue_chain("chores.who"),  # type: ignore[arg-type]
        lambda: enqueue_group([step("chores.who")], then=None),  # type: ignore[arg-type]
        lambda: enqueue_group([["chores.who"]], then=step("chores.who")),  # type: ignore[list-item]
    ):
        with pytest.raises(ValueError, match="is no step; write step"):
            write()
    with pytest.raises(ValueError, match="5 names no argument"):
        step("chores.read").given(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot travel as JSON"):
        step("chores.read", page=object())
    with pytest.raises(ValueError, match="what follows it take 6"):
        enqueue_chain(step("chores.tell", text=long), step("chores.tell", text=long))
    for members in ([], [step("chores.who")] * 1001):
        with pytest.raises(ValueError, match="1 to 1000 members"):
            enqueue_group(members, then=step("chores.who"))
    assert list(contents.waiting()) == []


def test_what_each_member_of_a_group_carries_is_bounded_together(ctx: Flask) -> None:
    heavy = step("chores.tell", text="x" * 60_000)
    enqueue_group([step("chores.who")] * 60, then=heavy)
    with pytest.raises(ValueError, match=r"chores.tell: what follows a group is kept .* pass its key"):
        enqueue_group([step("chores.who")] * 1000, then=heavy)
    enqueue_group([step("chores.who")] * 1000, then=step("chores.tell", text="x" * 4000))
    assert len(list(contents.waiting())) == 1060


def test_a_result_that_does_not_fit_ends_the_chain_and_says_why(run_jobs: RunJobs) -> None:
    enqueue_chain(step("chores.large", size=MAX_PAYLOAD), step("chores.tell").given("text"))
    enqueue_chain(step("chores.large", size=MAX_PAYLOAD), step("chores.tell"))
    run_jobs()
    assert did == [("tell", None)], "where nobody takes it, it may be as large as it likes"
    [letter] = dead.letters("default")
    assert letter.error.startswith("BadResult: its result takes more than 65536 bytes")


def test_an_unknown_task_ends_with_the_dead_and_what_follows_it(worker_app: Flask, run_jobs: RunJobs) -> None:
    enqueue_chain(step("chores.who"), step("chores.nobody"), step("chores.who"))
    for _ in range(12):
        run_jobs()
        contents.run_now()
    assert len(did) == 1
    [letter] = dead.letters("default")
    assert letter.envelope and letter.envelope.name == "chores.nobody" and letter.envelope.then


def test_all_steps_act_for_whoever_enqueued_them_in_their_tenant(run_jobs: RunJobs) -> None:
    with acting_in(PLATFORM), acting_as(USER):
        enqueue_chain(step("chores.who"), step("chores.who"))
        enqueue_group([step("chores.who"), step("chores.who")], then=step("chores.who"))
    run_jobs()
    assert did == [(PLATFORM.id, USER)] * 5


def test_a_unit_that_is_rolled_back_leaves_nothing(run_jobs: RunJobs) -> None:
    with pytest.raises(RuntimeError), unit():
        enqueue_chain(step("chores.who"), step("chores.who"))
        enqueue_group([step("chores.who")], then=step("chores.who"))
        raise RuntimeError
    assert run_jobs() == 0 and did == []


def test_a_step_is_never_left_out_for_a_twin(run_jobs: RunJobs) -> None:
    enqueue("chores.alone")
    enqueue_chain(step("chores.alone"), step("chores.alone"), step("chores.number", number=1))
    run_jobs()
    assert did.count("alone") == 3 and did[-1] == 1


class Old(msgspec.Struct):
    """What a release that knows no steps reads of an envelope."""

    kind: Literal["task", "listener"]


def test_an_earlier_release_leaves_alone_what_it_would_forget_to_follow(ctx: Flask) -> None:
    job = Envelope(new_id(), "step", "chores.who", {}, then=Then((step("chores.who"),)))
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value 'step'"):
        msgspec.convert({"kind": outbox._row(job).kind}, Old)
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value 'step'"):
        msgspec.json.decode(msgspec.json.encode(job), type=Old)
    leave(job)
    sweeping.sweep(settled=NOW)
    [there] = [messages.decode(each.message) for each in contents.waiting()]
    assert there.then == job.then, "the outbox keeps what follows"


# -- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chores.number", "chores.mailed"])
def test_what_follows_a_group_begins_once_with_all_results_in_order(run_jobs: RunJobs, name: str) -> None:
    enqueue_group(
        [step(name, number=number) for number in range(5)], then=step("chores.bind", title="B").given("pages")
    )
    run_jobs()
    assert did[:5] == [0, 1, 2, 3, 4] and did[5:] == [("bind", [0, 2, 4, 6, 8], "B")]
    assert groups() == [], "nobody needs the results any more"


@pytest.mark.parametrize("of_members", ["chores.number", "chores.mailed"], ids=["same queue", "another queue"])
def test_what_follows_a_group_can_be_asked_for_at_once(run_jobs: RunJobs, of_members: str) -> None:
    with acting_as(USER):
        members = [step(of_members, number=number) for number in range(2)]
        job = enqueue_group(members, then=step("chores.shown", word="a"))
    found = following.find(job)
    assert found is not None and (found.state, found.facts["task"]) == ("waiting", "chores.shown")
    assert found.is_of(USER) and found.tenant_id == DEFAULT.id
    [told] = following.events(found)
    assert (told.what, told.data) == ("waiting", {"members": 2})
    member = next(contents.waiting("mail" if of_members == "chores.mailed" else "default"))
    run_jobs()
    # A member that is put there once more, as by whoever does not know that it has been, begins no other story.
    delivery.pass_on(messages.decode(member.message), member.nonce, "elsewhere")
    found = following.find(job)
    assert found is not None and found.state == "done"


def test_members_may_be_of_several_queues(run_jobs: RunJobs) -> None:
    members = [step("chores.number", number=1), step("chores.mailed", number=2), step("chores.number", number=3)]
    enqueue_group(members, then=step("chores.tell").given("text"))
    run_jobs()
    assert sorted(did[:3]) == [1, 2, 3] and did[3:] == [("tell", [2, 4, 6])]
    assert groups() == []


def test_a_group_waits_for_one_that_has_failed_until_it_is_replayed(run_jobs: RunJobs) -> None:
    breaks.add("b")
    members = [step("chores.fetch", url=url) for url in "abc"]
    enqueue_group(members, then=step("chores.bind").given("pages"))
    run_jobs()
    assert [each[0] for each in did] == ["fetch"] * 3 and len(groups()) == 1
    breaks.clear()
    [letter] = dead.letters("default")
    dead.replay(letter)
    run_jobs()
    assert did[-1] == ("bind", [{"url": url, "words": 1} for url in "abc"], "")


def test_a_member_that_runs_twice_counts_once_also_when_all_is_over(ctx: Flask) -> None:
    group = Group(new_id(), 2, "default")
    follower = Envelope(following_group(group), "step", "chores.bind", {}, then=Then(results=group, into="pages"))

    def count(member: int) -> bool:
        return chaining.count(Then(group=group, member=member), str(member), follower)

    assert [count(0), count(0), count(1), count(1), count(0)] == [False, False, True, False, False]
    assert chaining.payload(follower) == {"pages": [0, 1]}
    chain_tasks.forget_group(group)
    assert [count(0), count(1)] == [False, False]
    store: Any = redis.client()
    assert 86_000 < store.ttl(Keys("default").group(str(group.id))) <= 86_400
    assert len(list(contents.waiting())) == 1
    with pytest.raises(NoResults, match="kept for 7 days"):
        chaining.payload(follower)


def test_results_that_nobody_takes_are_not_kept(run_jobs: RunJobs) -> None:
    enqueue_group([step("chores.large", size=100_000)] * 2, then=step("chores.tell", text="x"))
    run_jobs()
    assert did == [("tell", "x")] and groups() == []


def test_results_that_are_too_much_together_end_with_the_dead(run_jobs: RunJobs) -> None:
    enqueue_group([step("chores.large", size=30_000)] * 3, then=step("chores.bind").given("pages"))
    run_jobs()
    assert did == []
    [letter] = dead.letters("default")
    assert letter.envelope and letter.envelope.name == "chores.bind"
    assert letter.error.startswith("NoResults: its group's results take 90006 bytes together, and may take 65536;")


def test_a_thousand_members(ctx: Flask, worker_app: Flask) -> None:
    members = [step("chores.number", number=number) for number in range(1000)]
    job = enqueue_group(members, then=step("chores.bind").given("pages"))
    queue = Leased(redis.client(), "default", "one")
    settled: list[Settled] = []
    while taken := queue.step(250, settled).taken:
        outcomes = [(each, attempt(messages.decode(each.message), worker_app)) for each in taken]
        settled = [Settled.of(each, *settling.effects_of(each, outcome, "default")) for each, outcome in outcomes]
    assert did[:1000] == list(range(1000))
    assert did[1000:] == [("bind", [2 * number for number in range(1000)], "")]
    assert outcomes[0][1].envelope.id == job and groups() == []


def test_where_nobody_knows_the_queues_a_group_is_counted_on_default(
    run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str) -> routes.Route:
        raise ConnectionError("Redis is away")

    with monkeypatch.context() as patched:
        patched.setattr(chains, "route_of", away)
        enqueue_group([step("chores.mailed", number=1)] * 2, then=step("chores.tell").given("text"))
    run_jobs()
    assert did == [1, 1, ("tell", [2, 2])] and groups() == []


def test_a_job_that_is_passed_on_twice_comes_once_and_may_come_back(ctx: Flask) -> None:
    job = Envelope(new_id(), "step", "chores.mailed", {"number": 1})
    delivery.push([job])
    for nonce, queue in ((b"a" * 16, "default"), (b"a" * 16, "default"), (b"b" * 16, "default"), (b"a" * 16, "images")):
        delivery.pass_on(job, nonce, queue)
    assert len(list(contents.waiting("mail"))) == 4


# -- in workers -----------------------------------------------------------------------------------------------------

CHORES = """\
    import time
    from core.background import task
    from core.data import redis
    from core.data.unit import in_steps
    from core.trust import public

    @task()
    @public
    @in_steps
    def near(number: int) -> int:
        time.sleep(0.01)
        redis.client().rpush("chores:near", number)
        return number

    @task(queue="mail")
    @public
    @in_steps
    def far(number: int) -> int:
        time.sleep(0.01)
        redis.client().rpush("chores:far", number)
        return number + 1

    @task(queue="images", kind="process")
    @public
    @in_steps
    def bind(numbers: list[int]) -> int:
        there = {int(each) for name in ("near", "far") for each in redis.client().lrange(f"chores:{name}", 0, -1)}
        redis.client().rpush("chores:bound", sum(numbers) if there >= {each // 2 * 2 for each in numbers} else -1)
        return sum(numbers)
    """


@pytest.mark.timeout(120)
def test_steps_on_several_queues_whose_workers_are_killed(
    process: Callable[..., Process], ctx: Flask, tmp_path: Path
) -> None:
    """Members on two queues, what follows them in a process of a third; and a chain over both queues."""
    environ = install(tmp_path, "chores", tasks=CHORES)
    crew = [process("worker", WORKER_QUEUES="default:3,mail:3,images:1", **environ) for _ in range(2)]
    with unit():
        for first in range(0, 200, 10):
            members = [
                step(f"chores.{'near' if each % 4 else 'far'}", number=each) for each in range(first, first + 10, 2)
            ]
            enqueue_group(members, then=step("chores.bind").given("numbers"))
            enqueue_chain(
                step("chores.near", number=1000 + first), *(step(f"chores.{name}").given("number") for name in FARTHER)
            )
    for at in range(3):
        eventually(lambda at=at: redis.client().llen("chores:far") > 20 * at)
        crew[at % 2].kill()
        crew[at % 2].start()
    store: Any = redis.client()

    def ended() -> bool:
        return all(
            figures.figures(name).total == figures.figures(name).completed for name in ("default", "mail", "images")
        )

    eventually(ended, 60)
    totals = {
        sum(each if each % 4 else each + 1 for each in range(first, first + 10, 2)) for first in range(0, 200, 10)
    }
    assert {int(each) for each in store.lrange("chores:bound", 0, -1)} == totals, "each, and none too early"
    last = {1001 + first for first in range(0, 200, 10)}
    assert {int(each) for each in store.lrange("chores:far", 0, -1)} >= last
    assert list(contents.dead()) == []
