"""Dead letters over HTTP and from the command line: who sees which, and what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from shop import Shop, administrator

from core.background.queue import contents, drain, messages
from core.background.queue.frames import frame
from core.background.queue.leased import Leased, Settled
from core.background.queue.scripts import NAMES
from core.background.tasks import enqueue, enqueue_in
from core.data import DEFAULT, PLATFORM, acting_in, new_id, redis
from core.data.outbox import Envelope
from plugins.jobs import cli
from plugins.jobs.services import queues, sight

API = "/api/jobs"
QUEUE = "reports"  # where nothing else is: signing up puts a job on `default`


@pytest.fixture
def admin(board: Flask) -> Shop:
    return administrator(board)


def die(board: Flask, error: str = "ValueError: no", tenant: Any = DEFAULT, **payload: Any) -> str:
    """A job that failed for good, as a worker leaves it; its key."""
    time.sleep(0.002)  # two of one millisecond have no order
    with board.app_context():
        envelope = Envelope(new_id(), "task", "shelf.count", payload, tenant_id=tenant.id, attempt=4)
        queue = Leased(redis.client(), QUEUE, f"test-{new_id()}")
        redis.client().sadd(NAMES, QUEUE)
        queue.push([(0, frame(messages.encode(envelope)))])
        [taken] = queue.step(1).taken
        told = msgspec.json.encode({"error": error})
        queue.step(0, [Settled(taken.nonce, [("dead", taken.nonce, told + b"\n" + taken.raw())])])
        queue.leave()
        return taken.nonce.decode()


def test_a_job_that_fails_for_good_is_told_with_why_and_without_secrets(board: Flask, admin: Shop) -> None:
    error = "LookupError: no such book, password=hunter2hunter2"
    key = die(board, error, book_id=str(new_id()), api_key="sk_live_1234567890")
    [told] = admin.get(f"{API}/dead", queue=QUEUE).json["items"]
    assert (told["key"], told["task"], told["attempts"]) == (key, "shelf.count", 4)
    assert told["error"].startswith("LookupError: no such book") and "hunter2" not in told["error"]
    assert told["payload"]["api_key"] == "[hidden]"
    assert admin.get(f"{API}/dead/{QUEUE}/{key}").json == told
    assert admin.get(f"{API}/dead/{QUEUE}/nothing").status_code == 404


def test_a_replayed_job_begins_anew_and_is_audited(
    board: Flask, admin: Shop, superuser: psycopg.Connection[Any]
) -> None:
    key = die(board, book_id=str(new_id()))
    assert admin.post(f"{API}/dead/{QUEUE}/{key}/replay").status_code == 204
    assert admin.post(f"{API}/dead/{QUEUE}/{key}/replay").status_code == 404
    with board.app_context():
        [waiting] = contents.waiting(QUEUE)
        envelope = messages.decode(waiting.message)
    assert (envelope.name, envelope.attempt) == ("shelf.count", 1)
    rows = superuser.execute("select action from core_audit where action like 'jobs.%'").fetchall()
    assert rows == [("jobs.replayed",)]


def test_many_are_replayed_by_what_they_have_in_common_after_a_dry_run(board: Flask, admin: Shop) -> None:
    for error in ("TimeoutError: slow", "TimeoutError: slower", "KeyError: x"):
        die(board, error, book_id=str(new_id()))
    asked = {"queue": QUEUE, "error": "timeout", "task": "shelf.count"}
    assert admin.post(f"{API}/dead/replay", {**asked, "dry_run": True}).json == {"matching": 2, "replayed": 0}
    assert len(admin.get(f"{API}/dead", queue=QUEUE).json["items"]) == 3
    assert admin.post(f"{API}/dead/replay", asked).json == {"matching": 2, "replayed": 2}
    [left] = admin.get(f"{API}/dead", queue=QUEUE).json["items"]
    assert left["error"] == "KeyError: x"
    assert admin.delete(f"{API}/dead/{QUEUE}/{left['key']}").status_code == 204
    assert admin.get(f"{API}/dead", queue=QUEUE).json["items"] == []


def test_pages_go_on_though_what_was_last_is_gone(board: Flask, admin: Shop) -> None:
    keys = [die(board, f"ValueError: {number}") for number in range(5)][::-1]
    first = admin.get(f"{API}/dead", queue=QUEUE, limit=2).json
    assert [each["key"] for each in first["items"]] == keys[:2]
    admin.delete(f"{API}/dead/{QUEUE}/{keys[1]}")
    rest = admin.get(f"{API}/dead", queue=QUEUE, limit=3, cursor=first["next"]).json
    assert [each["key"] for each in rest["items"]] == keys[2:]
    assert admin.get(f"{API}/dead", queue=QUEUE, limit=2, cursor=first["next"], error="x").status_code == 400


def test_what_is_no_job_can_only_be_thrown_away(board: Flask, admin: Shop) -> None:
    with board.app_context():
        redis.client().sadd(NAMES, QUEUE)
        Leased(redis.client(), QUEUE, "test").push([(0, frame(b"garbage"))])
        drain(board)
    [told] = admin.get(f"{API}/dead", queue=QUEUE).json["items"]
    assert "task" in told and told["task"] is None
    assert admin.post(f"{API}/dead/{QUEUE}/{told['key']}/replay").json["code"] == "CONFLICT"
    assert admin.delete(f"{API}/dead/{QUEUE}/{told['key']}").status_code == 204


@pytest.mark.parametrize("queue", ["UPPER", "a b", "a:b", "{x}", "-x", "q" * 33, "huey.shop"])
def test_where_there_can_be_no_queue_there_is_nothing(admin: Shop, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{API}/dead/{queue}/aaaaaaaaaaaaaaaa"
    answers = [admin.get(path), admin.delete(path), admin.post(f"{path}/replay")]
    monkeypatch.setattr(sight, "board_wide", lambda: False)
    answers.append(admin.get(f"{API}/queues/{queue}/figures", by="tenant"))
    assert [each.status_code for each in answers] == [404] * 4


def test_who_may_see_what(board: Flask, admin: Shop, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = die(board), die(board, tenant=PLATFORM)
    alice = Shop(client, "alice@example.com")
    for path in ("/dead", "/queues", f"/dead/{QUEUE}/{mine}"):
        assert alice.get(f"{API}{path}").status_code == 403
    whole = {each["key"] for each in admin.get(f"{API}/dead", queue=QUEUE).json["items"]}
    assert whole == {mine, theirs}, "nobody splits this board"
    monkeypatch.setattr(sight, "board_wide", lambda: False)
    assert [each["key"] for each in admin.get(f"{API}/dead", queue=QUEUE).json["items"]] == [mine]
    assert admin.get(f"{API}/dead/{QUEUE}/{theirs}").status_code == 404
    assert admin.post(f"{API}/dead/{QUEUE}/{theirs}/replay").status_code == 404
    assert admin.post(f"{API}/dead/replay", {"queue": QUEUE}).json == {"matching": 1, "replayed": 1}
    assert admin.get(f"{API}/queues").status_code == 403
    assert admin.post(f"{API}/queues/default/pause").status_code == 403


def test_a_queue_is_paused_and_resumed(board: Flask, admin: Shop, run_jobs: Callable[[], int]) -> None:
    run_jobs()
    assert admin.post(f"{API}/queues/default/pause").json["paused"] is True
    with board.app_context(), acting_in(DEFAULT):
        enqueue("shelf.count", book_id=new_id())
    assert run_jobs() == 0
    [told] = [each for each in admin.get(f"{API}/queues").json["items"] if each["name"] == "default"]
    assert (told["waiting"], told["active"], told["paused"]) == (1, 0, True)
    assert 0 <= told["oldest_seconds"] < 60
    assert admin.post(f"{API}/queues/default/resume").json["paused"] is False
    assert run_jobs() == 1
    assert admin.get(f"{API}/queues/nothing").status_code == 404


def test_jobs_are_told_by_their_state(board: Flask, admin: Shop, run_jobs: Callable[[], int]) -> None:
    def of(state: str) -> list[str]:
        return [each["task"] for each in admin.get(f"{API}/jobs", state=state).json["items"]]

    assert of("waiting") == ["auth.send_welcome"]
    run_jobs()
    assert (of("waiting"), of("completed")) == ([], ["core.notify_mail", "auth.send_welcome"])
    with board.app_context(), acting_in(DEFAULT):
        enqueue_in(30, "shelf.count", book_id=new_id())
        enqueue("shelf.count", book_id=new_id())
    assert of("delayed") == ["shelf.count"]
    run_jobs()
    [failed] = admin.get(f"{API}/jobs", state="failed").json["items"]
    assert (failed["task"], failed["attempt"], failed["tenant_id"]) == ("shelf.count", 1, str(DEFAULT.id))
    assert failed["error"].startswith("Refused: ")
    assert of("active") == []
    assert admin.get(f"{API}/jobs", state="lost").status_code == 422


def test_a_queue_that_is_not_there_is_no_empty_one(board: Flask, admin: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> list[Any]:
        many = admin.post(f"{API}/dead/replay", {"queue": "mial"})
        return [admin.get(f"{API}/jobs", queue="mial"), admin.get(f"{API}/dead", queue="mial"), many]

    for reply in asked():
        told = "there is no queue 'mial'; there are default"
        assert reply.json["errors"] == [{"field": "queue", "code": "NOT_A_CHOICE", "detail": told}]
    board.cli.add_command(cli.jobs)
    told = board.test_cli_runner().invoke(args=["jobs", "dead", "--queue", "mial"])
    assert (told.exit_code, told.stderr) == (1, "Error: there is no queue 'mial'; there are default\n")
    monkeypatch.setattr(queues, "board_wide", lambda: False)
    assert {reply.json["detail"] for reply in asked()} == {"there is no queue 'mial'"}


def test_the_same_from_the_command_line(board: Flask) -> None:
    board.cli.add_command(cli.jobs)
    runner = board.test_cli_runner()
    key = die(board, "TimeoutError: slow")
    assert f"{key}  " in runner.invoke(args=["jobs", "dead", "--queue", QUEUE]).output
    assert f"{QUEUE}: waiting 0, active 0, delayed 0, dead 1" in runner.invoke(args=["jobs", "queues"]).output
    assert runner.invoke(args=["jobs", "replay", "--queue", QUEUE, "--dry-run"]).output == "1 match, 0 were replayed\n"
    assert (
        runner.invoke(args=["jobs", "replay", "--queue", QUEUE, "--error", "slow"]).output
        == "1 match, 1 were replayed\n"
    )
    assert runner.invoke(args=["jobs", "dead", "--queue", QUEUE]).output == ""
    assert "PAUSED" in runner.invoke(args=["jobs", "pause", "default"]).output
    assert "PAUSED" not in runner.invoke(args=["jobs", "resume", "default"]).output
    for command in ("dead", "replay"):
        assert "'a b' is no name of a queue" in runner.invoke(args=["jobs", command, "--queue", "a b"]).output
    told = runner.invoke(args=["jobs", "pause", "nothing"])
    assert (told.exit_code, told.output.startswith("Error: there is no queue 'nothing'")) == (1, True)
    with board.app_context():
        assert len(list(contents.waiting(QUEUE))) == 1


def test_the_commands_tell_where_else_something_is_dead(board: Flask) -> None:
    die(board)
    board.cli.add_command(cli.jobs)
    runner = board.test_cli_runner()
    for command in ("dead", "replay"):
        told = runner.invoke(args=["jobs", command, "--task", "shelf.count"]).stderr
        assert told == f"this was the queue default; dead on others (--queue): {QUEUE} 1\n"
        assert runner.invoke(args=["jobs", command, "--queue", QUEUE]).stderr == ""
