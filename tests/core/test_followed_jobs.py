"""Followed jobs: what they tell, to whom it is left, and that nothing of it keeps a job from running once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from throwaway import eventually, install

from core.background import current_job, task
from core.background.queue import contents, dead, following, routes, settling, stories, telling
from core.background.queue.following import Event
from core.background.queue.huey import BoardHuey
from core.background.queue.keys import Keys
from core.background.queue.leased import MOST_STALLS, Leased, Settled
from core.background.queue.lua import EVENTS
from core.background.queue.pump import Pump
from core.background.queue.running import attempt
from core.background.queue.telling import Teller
from core.background.queue.words import LONGEST, fit
from core.background.tasks import enqueue
from core.contracts import Principal
from core.data import redis
from core.data.models import new_id
from core.data.outbox import Envelope
from core.data.tenancy import DEFAULT, acting_in
from core.ops.embedded import start
from core.ops.processes import Process
from core.trust.identity import acting_as
from core.trust.permissions import public

RunJobs = Callable[[], int]
StartProcess = Callable[..., Process]
USER = Principal("user", new_id(), DEFAULT.id)


@pytest.fixture
def add(ctx: Flask, worker_app: Flask) -> Iterator[Callable[..., None]]:
    """Put functions into the worker's board as tasks of ``chores``, and have it tell of them."""
    names: list[str] = []

    def add(*functions: Callable[..., Any]) -> None:
        module = ModuleType(functions[0].__module__)
        for function in functions:
            setattr(module, function.__name__, function)
            names.append(f"chores.{function.__name__}")
        worker_app.extensions["pegboard.tasks"].add("chores", module)
        with worker_app.app_context():
            routes.tell(worker_app)
        assert eventually(
            lambda: routes.route_of(names[-1]) == worker_app.extensions["pegboard.tasks"].get(names[-1]).route
        )

    with acting_as(USER):
        yield add
    for name in names:
        worker_app.extensions["pegboard.tasks"]._tasks.pop(name, None)


def story(job: UUID) -> following.Story:
    found = following.find(job)
    assert found is not None
    return found


def events(job: UUID) -> list[Event]:
    return following.events(story(job), limit=2000)


def told(job: UUID) -> list[tuple[str, dict[str, Any]]]:
    return [(each.what, each.data) for each in events(job)]


def test_the_whole_story_of_a_job_that_fails_and_then_succeeds(add: Callable[..., None], run_jobs: RunJobs) -> None:
    @task(followed=True, retry_delay=0)
    @public
    def print_book(title: str) -> dict[str, int]:
        job = current_job()
        job.progress(0.4, "page 4 of 10")
        job.log(f"{title} has no cover")
        job.note(pages=10, paper="A5")
        if job.attempt == 1:
            raise RuntimeError("the printer is jammed, password=hunter2hunter2")
        job.note(pages=11)
        return {"sheets": 5}

    add(print_book)
    job = enqueue("chores.print_book", title="Emma")
    assert (story(job).state, told(job)) == ("queued", [("queued", {})])
    assert run_jobs() == 2
    whole = told(job)
    attempt = [
        ("progress", {"progress": 0.4, "message": "page 4 of 10"}),
        ("log", {"text": "Emma has no cover"}),
        ("note", {"notes": {"pages": 10, "paper": "A5"}}),
    ]
    assert whole[:5] == [("queued", {}), ("started", {"attempt": 1}), *attempt]
    what, data = whole[5]
    assert (what, data["attempt"]) == ("retry", 1)
    assert data["error"].startswith("RuntimeError: the printer is jammed") and "hunter2" not in data["error"]
    assert whole[6:10] == [("started", {"attempt": 2}), *attempt]
    assert whole[10:] == [("note", {"notes": {"pages": 11}}), ("done", {"attempt": 2, "result": {"sheets": 5}})]
    assert [each.seq for each in events(job)] == list(range(1, 13))
    now = story(job)
    assert (now.state, now.facts["attempt"], now.facts["result"]) == ("done", "2", '{"sheets":5}')
    assert (now.notes, "error" in now.facts) == ({"pages": 11, "paper": "A5"}, False)
    assert now.is_of(USER) and now.tenant_id == DEFAULT.id
    times = [now.time(name) for name in ("queued_at", "started_at", "ended_at")]
    assert times == sorted(each for each in times if each)
    ttl = redis.client().ttl(Keys("default").story(str(job)))
    assert 86_000 < ttl <= 86_400


def test_jobs_that_nobody_follows_leave_nothing_and_tell_all_the_same(
    add: Callable[..., None], run_jobs: RunJobs
) -> None:
    @task()
    @public
    def print_book() -> object:
        current_job().progress(1)
        current_job().log("done")
        return object()

    add(print_book)
    job = enqueue("chores.print_book")
    assert (run_jobs(), following.find(job)) == (1, None)
    assert list(redis.client().scan_iter("pb:q:{default}:[sh]:*")) == []
    with pytest.raises(LookupError):
        current_job()


@pytest.fixture
def unlogged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pytest captures of such errors could not be sent by one of its processes to the other."""
    monkeypatch.setattr(logging.getLogger("core.background.queue.running"), "disabled", True)


@pytest.mark.usefixtures("unlogged")
def test_a_failure_ends_the_story_and_a_replay_begins_another(add: Callable[..., None], run_jobs: RunJobs) -> None:
    broken = [True]

    @task(followed=True, retries=0)
    @public
    def print_book() -> int:
        if broken:
            raise RuntimeError(f"\ud800 {'x' * 600}")
        return 1

    add(print_book)
    job = enqueue("chores.print_book")
    run_jobs()
    now = story(job)
    assert (now.state, now.facts["error"][:16]) == ("failed", "RuntimeError: ? ")
    assert told(job)[-1] == ("failed", {"attempt": 1, "error": now.facts["error"]})
    broken.clear()
    [letter] = dead.letters("default")
    assert dead.replay(letter)
    assert (story(job).state, "error" in story(job).facts) == ("queued", False)
    run_jobs()
    assert [what for what, _ in told(job)] == ["queued", "started", "failed", "queued", "started", "done"]


def test_what_cannot_be_told_is_refused(add: Callable[..., None], run_jobs: RunJobs) -> None:
    refused: list[str] = []

    @task(followed=True)
    @public
    def print_book() -> None:
        job = current_job()
        wrong: list[Callable[[], None]] = [
            *[lambda part=part: job.progress(part) for part in (-0.1, 1.1, float("nan"), True, "half")],  # type: ignore[misc]
            lambda: job.progress(0.5, 7),  # type: ignore[arg-type]
            lambda: job.log(b"bytes"),  # type: ignore[arg-type]
            lambda: job.note(thing=object()),
            lambda: job.note(Name=1),
            lambda: job.note(text=["x" * 100] * 50),
            lambda: job.note(**{f"n{number}": "x" * 100 for number in range(50)}),
        ]
        for each in wrong:
            with pytest.raises(ValueError) as caught:
                each()
            refused.append(str(caught.value))

    add(print_book)
    job = enqueue("chores.print_book")
    run_jobs()
    assert (len(refused), [what for what, _ in told(job)]) == (11, ["queued", "started", "done"])


def test_texts_are_cut_and_scrubbed_and_results_are_bounded(add: Callable[..., None], run_jobs: RunJobs) -> None:
    @task(followed=True)
    @public
    def tell(size: int) -> str:
        job = current_job()
        job.log("é" * 513)
        job.log("token=abcdefghijklmnop \ud800")
        job.note(api_key="sk_live_1234567890", password="open sesame", pages=3)
        return "x" * size

    add(tell)
    fits, bursts = enqueue("chores.tell", size=64 * 1024 - 2), enqueue("chores.tell", size=64 * 1024 - 1)
    assert run_jobs() == 2, "what does not fit is not tried again"
    first, second, note = (data for what, data in told(fits) if what in ("log", "note"))
    assert first["text"] == "é" * 511 + "…" and len(first["text"]) == LONGEST
    assert second["text"].endswith(" ?") and "abcdef" not in second["text"]
    assert note == {"notes": {"api_key": "[hidden]", "password": "[hidden]", "pages": 3}}
    assert len(told(fits)[-1][1]["result"]) == 64 * 1024 - 2
    assert story(bursts).state == "failed"
    assert "65536 bytes" in story(bursts).facts["error"]


def test_progress_that_comes_fast_is_merged_and_its_last_is_told(
    add: Callable[..., None], run_jobs: RunJobs, ctx: Flask
) -> None:
    seen: list[float] = []

    @task(followed=True)
    @public
    def count() -> None:
        for number in range(1000):
            current_job().progress(number / 1000)
        job = current_job().id
        with ctx.app_context():
            eventually(lambda: story(job).facts.get("progress") == "0.999")
        seen.append(float(story(job).facts["progress"]))
        current_job().progress(1)

    add(count)
    job = enqueue("chores.count")
    run_jobs()
    parts = [data["progress"] for what, data in told(job) if what == "progress"]
    assert seen == [0.999] and parts[-2:] == [0.999, 1] and len(parts) < 50


def test_the_story_is_capped(add: Callable[..., None], run_jobs: RunJobs) -> None:
    @task(followed=True)
    @public
    def chatter() -> None:
        for number in range(EVENTS + 500):
            current_job().log(str(number))

    add(chatter)
    job = enqueue("chores.chatter")
    run_jobs()
    found = events(job)
    assert EVENTS <= len(found) <= EVENTS + 100
    assert found[0].seq > 1 and found[-1].seq == EVENTS + 503, "one sees that some are gone"


def test_who_follows_sees_each_event_once(add: Callable[..., None], run_jobs: RunJobs, ctx: Flask) -> None:
    @task(followed=True)
    @public
    def chatter() -> None:
        for number in range(300):
            current_job().log(str(number))

    add(chatter)
    job = enqueue("chores.chatter")
    known = story(job)
    seen: list[Event] = []

    def follow() -> None:
        with ctx.app_context():
            while not seen or seen[-1].what != "done":
                seen.extend(following.events(known, seen[-1].place if seen else following.START, 7, wait=10))

    reader = threading.Thread(target=follow)
    reader.start()
    run_jobs()
    reader.join(20)
    assert not reader.is_alive()
    assert [each.seq for each in seen] == list(range(1, 304))
    assert following.events(known, seen[-1].place, wait=10) == [], "there will be no more, and nobody waits for it"


def test_a_twin_tells_into_which_it_was_merged(add: Callable[..., None], run_jobs: RunJobs) -> None:
    @task(followed=True, unique=True)
    @public
    def tidy() -> int:
        return 7

    add(tidy)
    first, second = enqueue("chores.tidy"), enqueue("chores.tidy")
    assert told(second) == [("merged", {"into": str(first)})]
    assert (story(second).state, story(second).facts["into"]) == ("merged", str(first))
    assert run_jobs() == 1
    assert story(first).state == "done"


def test_who_has_lost_the_lease_neither_tells_nor_goes_on(add: Callable[..., None], worker_app: Flask) -> None:
    went_on: list[bool] = []

    @task(followed=True)
    @public
    def print_book() -> None:
        two.client.zadd(one.keys.procs, {"one": 1})
        two.reap()
        try:
            current_job().log("mine")
        except Exception:
            went_on.append(True)
        went_on.append(True)

    add(print_book)
    job = enqueue("chores.print_book")
    one, two = (Leased(redis.client(), "default", name) for name in ("one", "two"))
    [frame] = one.step(1).taken
    envelope = Envelope(job, "task", "chores.print_book", {}, DEFAULT.id)
    outcome = attempt(envelope, worker_app, one.held_as(frame))
    assert (outcome.what, went_on) == ("lost", [])
    assert one.step(0, [Settled.of(frame, *settling.effects_of(frame, outcome, "default"))]).lost == [frame.nonce]
    assert [what for what, _ in told(job)] == ["queued", "started", "stalled"]
    assert len(list(contents.waiting())) == 1


def test_a_job_that_goes_back_as_its_worker_ends_has_stalled(add: Callable[..., None]) -> None:
    @task(followed=True)
    @public
    def print_book() -> None: ...

    add(print_book)
    job = enqueue("chores.print_book")
    queue = Leased(redis.client(), "default", "one")
    for begun in (False, True):
        [frame] = queue.step(1).taken
        if begun:
            teller = Teller(queue.held_as(frame), str(job))
            teller.tell(stories.started(Envelope(job, "task", "chores.print_book", {}, DEFAULT.id)))
        queue.step(0, [Settled.of(frame, ("back", "", frame.raw()))])
    assert [what for what, _ in told(job)] == ["queued", "started", "stalled"], "what had not begun did not stall"


def test_a_job_that_stalls_too_often_has_failed(add: Callable[..., None], worker_app: Flask) -> None:
    @task(followed=True)
    @public
    def print_book() -> None: ...

    add(print_book)
    job = enqueue("chores.print_book")
    queue, pump = Leased(redis.client(), "default", "one"), Pump(Leased(redis.client(), "default", "two"), 0)
    BoardHuey(worker_app, pump)
    for _ in range(MOST_STALLS + 1):
        [frame] = queue.step(1).taken
        Teller(queue.held_as(frame), str(job)).tell(stories.started(Envelope(job, "task", "chores.print_book", {})))
        queue.client.zadd(queue.keys.procs, {"one": 1})
        pump._reap_at = 0.0
        pump._step()
    pump._step()
    assert told(job)[-2:] == [("stalled", {}), ("failed", {"attempt": 1, "error": dead.STALLED})]
    assert (story(job).state, story(job).facts["error"]) == ("failed", dead.STALLED)


# -- what follows a job -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unlogged")
def test_an_error_that_no_utf8_can_hold_is_told_all_the_same(add: Callable[..., None], run_jobs: RunJobs) -> None:
    @task(retries=0)
    @public
    def stumble() -> None:
        raise ValueError("half of \ud83d")

    add(stumble)
    enqueue("chores.stumble")
    assert run_jobs() == 1
    [letter] = dead.letters("default")
    assert letter.error == "ValueError: half of ?"


@pytest.mark.parametrize("broken", ["framed", "_record"])
def test_a_job_whose_effects_cannot_be_made_is_kept_with_the_dead(
    broken: str, add: Callable[..., None], run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    @task(retry_delay=0)
    @public
    def stumble() -> None:
        raise ValueError

    def fail(*args: Any) -> None:
        raise TypeError("no")

    add(stumble)
    enqueue("chores.stumble")
    monkeypatch.setattr(settling, broken, fail)
    assert run_jobs() == 1
    [letter] = dead.letters("default")
    assert letter.envelope is not None and "could not be made" in letter.error
    monkeypatch.undo()
    assert dead.replay(letter)
    assert len(list(contents.waiting())) == 1


def test_a_story_that_cannot_be_told_takes_nothing_from_the_job(
    add: Callable[..., None], run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    @task(followed=True)
    @public
    def print_book() -> None: ...

    def fail(*args: Any) -> None:
        raise TypeError("no")

    add(print_book)
    job = enqueue("chores.print_book")
    monkeypatch.setattr(settling.stories, "done", fail)
    assert (run_jobs(), list(contents.dead()), story(job).state) == (1, [], "running")


def test_a_cut_never_shows_half_a_secret() -> None:
    text = "x" * 500 + " password=hunter2hunter2"
    assert len(fit(text)) == LONGEST and "hunt" not in fit(text)
    assert "hunter" not in fit("password='" + "hunter2" * 1000)


# -- real workers -------------------------------------------------------------------------------------------------


@pytest.fixture
def slow_chores(ctx: Flask, tmp_path: Path) -> dict[str, str]:
    """A task that goes on until its file is there."""
    tasks = """\
        import time
        from pathlib import Path
        from core.background import current_job, task
        from core.data import in_steps
        from core.trust import public

        @task(followed=True)
        @public
        @in_steps
        def watch(file: str) -> int:
            return until_there(file)

        @task(followed=True, queue="images", kind="process")
        @public
        @in_steps
        def watch_apart(file: str) -> int:
            return until_there(file)

        def until_there(file: str) -> int:
            job, turns = current_job(), 0
            while not Path(file).exists():
                turns += 1
                job.progress(0.5, f"turn {turns}")
                time.sleep(0.02)
            job.log("it is there")
            return turns
        """
    return install(tmp_path, "chores", tasks=tasks)


@pytest.mark.parametrize("name", ["chores.watch", "chores.watch_apart"])
def test_a_killed_workers_job_has_stalled_and_then_is_done(
    name: str, process: StartProcess, slow_chores: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    worker = process("worker", **slow_chores)
    eventually(lambda: routes.route_of(name).followed)
    job = enqueue(name, file=str(file))
    eventually(lambda: "progress" in story(job).facts)
    worker.kill()
    worker.start()
    eventually(lambda: "stalled" in [what for what, _ in told(job)])
    file.touch()
    eventually(lambda: story(job).state == "done")
    assert worker.stop() == 0
    kept = [what for what, _ in told(job) if what != "progress"]
    assert kept == ["queued", "started", "stalled", "started", "log", "done"]
    assert story(job).facts["result"].isdecimal()


def test_redis_goes_and_comes_back_in_the_middle_and_the_job_goes_on(
    slow_chores: dict[str, str],
    make_board: Callable[..., Flask],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "file"
    own = start(tmp_path / "valkey", durable=True, only=("valkey",))
    assert own.valkey
    monkeypatch.setenv("REDIS_URL", own.valkey.url)
    worker = Process("worker", slow_chores)
    try:
        with make_board("web").app_context(), acting_in(DEFAULT):
            worker.wait_ready()
            eventually(lambda: routes.route_of("chores.watch").followed)
            job = enqueue("chores.watch", file=str(file))
            eventually(lambda: "progress" in story(job).facts)
            own.valkey.stop()
            eventually(lambda: "a job's story has a gap" in worker.log())
            own.valkey.start()
            before = eventually(lambda: story(job)).facts["events"]
            eventually(lambda: story(job).facts["events"] != before, telling.REST + 10)
            file.touch()
            eventually(lambda: story(job).state == "done")
            kept = [what for what, _ in told(job) if what != "progress"]
            assert kept == ["queued", "started", "log", "done"], "it ran once"
    finally:
        worker.close()
        own.stop()
