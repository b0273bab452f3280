"""Following a job over HTTP and from the command line: who sees what of it, and how soon."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from types import ModuleType
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from flask import Flask
from shop import Shop, administrator
from throwaway import eventually

from core.background import current_job, task
from core.background.queue import following, routes
from core.background.tasks import enqueue, enqueue_in
from core.contracts import Principal
from core.data import DEFAULT, PLATFORM, acting_in, new_id, redis
from core.ops.processes import Process
from core.trust import acting_as, public
from plugins.jobs import cli
from plugins.jobs.services import sight

API = "/api/jobs/jobs"
goes_on = threading.Event()


@task(followed=True, retries=0)
@public
def print_book(title: str) -> dict[str, str]:
    job = current_job()
    job.progress(0.5, "page 1 of 2")
    job.note(pages=2)
    job.log(f"printing {title}")
    assert goes_on.wait(20)
    if title == "nothing":
        raise LookupError("no such book, password=hunter2hunter2")
    return {"printed": title}


@pytest.fixture
def printer(board: Flask, worker_app: Flask) -> Iterator[Callable[..., UUID]]:
    """Have a book printed, in somebody's name; it goes on at once unless it is told otherwise."""
    module = ModuleType(__name__)
    module.print_book = print_book  # type: ignore[attr-defined]
    tasks = worker_app.extensions["pegboard.tasks"]
    tasks.add("chores", module)
    goes_on.set()
    with worker_app.app_context():
        routes.tell(worker_app)
    with board.app_context():
        eventually(lambda: routes.route_of("chores.print_book").followed)

    def enqueued(who: Shop | None = None, tenant: Any = DEFAULT, delay: float = 0, **arguments: Any) -> UUID:
        principal = Principal("user", who.user_id if who else new_id(), tenant.id)
        with board.app_context(), acting_in(tenant), acting_as(principal):
            return enqueue_in(delay, "chores.print_book", **{"title": "Emma", **arguments})

    yield enqueued
    tasks._tasks.pop("chores.print_book", None)


@pytest.fixture
def alice(board: Flask) -> Shop:
    return Shop(board.test_client(), "alice@example.com")


def test_a_job_is_told_from_its_beginning_to_its_end(
    alice: Shop, printer: Callable[..., UUID], run_jobs: Callable[[], int]
) -> None:
    job = printer(alice)
    at_first = alice.get(f"{API}/{job}").json
    assert (at_first["state"], at_first["task"], at_first["progress"]) == ("queued", "chores.print_book", None)
    first = alice.get(f"{API}/{job}/events").json
    assert [each["event"] for each in first["items"]] == ["queued"]
    again = alice.get(f"{API}/{job}/events", cursor=first["next"]).json
    assert (again["items"], again["next"]) == ([], first["next"])
    run_jobs()
    rest: list[Any] = []
    cursor = first["next"]
    while page := alice.get(f"{API}/{job}/events", cursor=cursor, limit=2).json:
        rest += page["items"]
        cursor = page["next"]
        if not page["items"]:
            break
    assert [(each["seq"], each["event"]) for each in rest] == [
        *((2, "started"), (3, "progress"), (4, "note"), (5, "log"), (6, "done"))
    ]
    assert rest[1]["data"] == {"progress": 0.5, "message": "page 1 of 2"}
    assert rest[-1]["data"] == {"attempt": 1, "result": {"printed": "Emma"}}
    at_last = alice.get(f"{API}/{job}").json
    assert {name: at_last[name] for name in ("state", "attempt", "progress", "message", "notes", "result")} == {
        "state": "done",
        "attempt": 1,
        "progress": 1.0,
        "message": "page 1 of 2",
        "notes": {"pages": 2},
        "result": {"printed": "Emma"},
    }
    assert at_last["queued_at"] <= at_last["started_at"] <= at_last["ended_at"]


def test_a_failure_is_told_without_secrets(
    alice: Shop, printer: Callable[..., UUID], run_jobs: Callable[[], int]
) -> None:
    job = printer(alice, title="nothing")
    run_jobs()
    told = alice.get(f"{API}/{job}").json
    assert (told["state"], told["error"]) == ("failed", "LookupError: no such book, password=[hidden]")
    assert alice.get(f"{API}/{job}/events").json["items"][-1]["data"]["error"] == told["error"]


def test_a_reply_is_held_back_until_something_happens(
    alice: Shop, printer: Callable[..., UUID], run_jobs: Callable[[], int]
) -> None:
    goes_on.clear()
    job = printer(alice)
    worker = threading.Thread(target=run_jobs)
    worker.start()
    cursor, seen = None, []
    while "log" not in seen:
        page = alice.get(f"{API}/{job}/events", wait=20, **({"cursor": cursor} if cursor else {})).json
        seen += [each["event"] for each in page["items"]]
        cursor = page["next"]
    began = time.monotonic()
    assert alice.get(f"{API}/{job}/events", cursor=cursor, wait=0.3).json["items"] == []
    assert 0.3 <= time.monotonic() - began < 19
    threading.Timer(0.3, goes_on.set).start()
    began = time.monotonic()
    page = alice.get(f"{API}/{job}/events", cursor=cursor, wait=20).json
    assert [each["event"] for each in page["items"]] == ["done"]
    assert time.monotonic() - began < 19
    worker.join(20)
    began = time.monotonic()
    assert alice.get(f"{API}/{job}/events", cursor=page["next"], wait=20).json["items"] == []
    assert time.monotonic() - began < 19, "there will be no more"


def test_a_web_process_that_ends_lets_nobody_wait(
    ctx: Flask, alice: Shop, printer: Callable[..., UUID], process: Callable[..., Process]
) -> None:
    def ask(**query: Any) -> HTTPConnection:
        connection = HTTPConnection(web.url.removeprefix("http://"), timeout=40)
        connection.request("GET", f"{API}/{job}/events?{urlencode(query)}", headers=alice.headers)
        return connection

    def answer(connection: HTTPConnection) -> Any:
        with closing(connection):
            return json.load(connection.getresponse())

    def looks() -> int:
        stats: Any = redis.client().info("commandstats")
        return int(stats["cmdstat_xrange"]["calls"])

    job = printer(alice)
    web = process("web", WEB_CONCURRENCY="1")
    cursor = answer(ask())["next"]
    began, before = time.monotonic(), looks()
    asking = [ask(cursor=cursor, wait=25) for _ in range(20)]
    eventually(lambda: looks() - before >= 20)  # of the whole server: others may look too, but all have asked by now
    assert web.stop() == 0
    assert [answer(each) for each in asking] == [{"items": [], "next": cursor}] * 20
    assert time.monotonic() - began < 24


def test_a_job_in_the_outbox_is_told_and_waited_for(
    board: Flask, alice: Shop, printer: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = printer(alice, delay=3600)
    with board.app_context():
        assert following.find(job) is None
    told = alice.get(f"{API}/{job}").json
    assert (told["state"], told["task"], told["queued_at"]) == ("queued", "chores.print_book", None)
    assert alice.get(f"{API}/{job}/events", wait=0.2).json["items"] == []
    with board.app_context(), acting_in(DEFAULT):
        unfollowed = enqueue_in(3600, "shelf.count", book_id=new_id())
    assert administrator(board).get(f"{API}/{unfollowed}").status_code == 404


def test_who_may_see_what(
    board: Flask, alice: Shop, printer: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, bob = administrator(board), Shop(board.test_client(), "bob@example.com")
    hers, theirs, later = printer(alice), printer(alice, tenant=PLATFORM), printer(alice, delay=3600)

    def seen(who: Shop, job: UUID) -> tuple[int, int]:
        return who.get(f"{API}/{job}").status_code, who.get(f"{API}/{job}/events").status_code

    for own in (hers, later):
        assert seen(alice, own) == seen(admin, own) == (200, 200)
        assert seen(bob, own) == (404, 404)
    assert seen(admin, theirs) == (200, 200), "nobody splits this board"
    assert seen(alice, theirs) == (404, 404), "hers, but in another tenant"
    monkeypatch.setattr(sight, "board_wide", lambda: False)
    assert seen(admin, hers) == (200, 200)
    assert seen(admin, theirs) == (404, 404)
    stranger = board.test_client()
    assert stranger.get(f"{API}/{hers}").status_code == stranger.get(f"{API}/{hers}/events").status_code == 401


def test_bad_input_is_refused(alice: Shop, board: Flask, printer: Callable[..., UUID]) -> None:
    job, other = printer(alice), printer(alice)
    cursor = alice.get(f"{API}/{job}/events").json["next"]
    assert alice.get(f"{API}/{other}/events", cursor=cursor).json["code"] == "INVALID_CURSOR"
    assert alice.get(f"{API}/{job}/events", cursor="x").status_code == 400
    for query in ({"wait": 26}, {"wait": -1}, {"limit": 101}, {"limit": 0}, {"since": 1}):
        assert alice.get(f"{API}/{job}/events", **query).status_code == 422
    assert alice.get(f"{API}/{new_id()}").status_code == alice.get(f"{API}/{new_id()}/events").status_code == 404
    assert alice.get(f"{API}/nothing").status_code == 404
    with board.app_context(), acting_in(DEFAULT), acting_as(Principal("user", alice.user_id, DEFAULT.id)):
        unfollowed = enqueue("shelf.count", book_id=new_id())
    assert alice.get(f"{API}/{unfollowed}").status_code == 404


def test_the_same_from_the_command_line(
    board: Flask, alice: Shop, printer: Callable[..., UUID], run_jobs: Callable[[], int]
) -> None:
    board.cli.add_command(cli.jobs)
    runner = board.test_cli_runner()
    job = printer(alice)
    worker = threading.Timer(0.2, run_jobs)
    worker.start()
    lines = runner.invoke(args=["jobs", "follow", str(job)]).output.splitlines()
    worker.join(20)
    lines = [line for line in lines if not line.startswith("{")]  # what the worker logs meanwhile
    assert [line.split()[2] for line in lines] == ["queued", "started", "progress", "note", "log", "done"]
    assert lines[-1].endswith('{"attempt":1,"result":{"printed":"Emma"}}')
    told = runner.invoke(args=["jobs", "follow", str(new_id())])
    assert (told.exit_code, told.output.startswith("Error: there is no such job")) == (1, True)
