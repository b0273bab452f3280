"""Schedules over HTTP and from the command line, and what the plugin lets recur itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from shop import Shop, administrator

from core.background.queue import contents, messages
from core.background.schedules import tasks
from core.background.schedules.firing import fire
from core.background.schedules.models import ScheduleRow
from core.background.schedules.reconciling import reconcile
from core.data import DEFAULT, PLATFORM, acting_in, db, new_id, redis, unit, utcnow
from core.data.outbox import Envelope
from plugins.jobs import cli
from plugins.jobs.schedule_schemas import NewSchedule
from plugins.jobs.services import schedules, sight

API = "/api/jobs/schedules"
NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)


@pytest.fixture
def admin(board: Flask, worker_app: Flask) -> Shop:
    """An administrator; a scheduler and a worker have started before."""
    with worker_app.app_context():
        tasks.tell(worker_app)
    with board.app_context():
        reconcile()
    return administrator(board)


@pytest.fixture
def own(admin: Shop) -> dict[str, Any]:
    body = {"name": "counting", "task": "shelf.count", "cron": "0 2 * * *", "arguments": {"book_id": str(new_id())}}
    made = admin.post(API, {**body, "timezone": "Europe/Berlin"})
    assert (made.status_code, made.headers["Location"]) == (201, f"{API}/counting")
    found: dict[str, Any] = made.json
    return found


def change(shop: Shop, name: str, **body: Any) -> Any:
    tag = shop.get(f"{API}/{name}").headers["ETag"]
    return shop.patch(f"{API}/{name}", body, If_Match=tag)


def waiting() -> list[Envelope]:
    """What has become due of the tests' own; by day one of the plugin's may be due beside it."""
    found = [messages.decode(frame.message) for frame in contents.waiting()]
    return [job for job in found if job.name == "shelf.count"]


def actions(superuser: psycopg.Connection[Any]) -> list[str]:
    found = superuser.execute("select action from core_audit where kind = 'schedule' order by seq").fetchall()
    return [action for (action,) in found]


def test_what_code_declares_is_told_with_its_next_time(admin: Shop) -> None:
    told = {each["name"]: each for each in admin.get(API).json["items"]}
    assert list(told) == ["jobs.clean_up", "jobs.daily_summary"]
    one = told["jobs.clean_up"]
    assert (one["task"], one["cron"], one["timezone"], one["source"]) == ("jobs.clean_up", "0 2 * * *", "UTC", "code")
    assert one["next_at"].endswith("T02:00:00Z")
    assert (one["edited"], one["enabled"], one["last_at"]) == (False, True, None)
    assert admin.get(f"{API}/jobs.clean_up").json == one
    first = admin.get(API, limit=1).json
    assert admin.get(API, limit=1, cursor=first["next"]).json["items"] == [told["jobs.daily_summary"]]


def test_one_is_made_changed_and_deleted(
    board: Flask, admin: Shop, own: dict[str, Any], superuser: psycopg.Connection[Any]
) -> None:
    assert (own["source"], own["edited"], own["tenant_id"]) == ("runtime", False, None)
    changed = change(admin, "counting", every=3600, misfire="all")
    assert (changed.status_code, changed.json["cron"], changed.json["every"]) == (200, None, 3600)
    assert change(admin, "counting", cron="5 * * * *").json["every"] is None
    off = change(admin, "counting", enabled=False)
    assert (off.json["enabled"], off.json["next_at"]) == (False, None)
    tag = off.headers["ETag"]
    assert change(admin, "counting", enabled=False).headers["ETag"] == tag, "nothing changed"
    with board.app_context():
        reconcile()
    assert admin.get(f"{API}/counting").status_code == 200, "a deploy leaves it alone"
    assert admin.delete(f"{API}/counting").status_code == 204
    assert admin.get(f"{API}/counting").status_code == 404
    done = ["created", "changed", "changed", "changed", "deleted"]
    assert actions(superuser) == [f"jobs.schedule_{each}" for each in done]


def test_an_editor_who_has_not_seen_the_last_change_is_refused(admin: Shop, own: dict[str, Any]) -> None:
    tag = admin.get(f"{API}/counting").headers["ETag"]
    assert admin.patch(f"{API}/counting", {"enabled": False}).status_code == 428
    assert admin.patch(f"{API}/counting", {"enabled": False}, If_Match=tag).status_code == 200
    assert admin.patch(f"{API}/counting", {"enabled": True}, If_Match=tag).status_code == 412
    assert admin.delete(f"{API}/counting", If_Match=tag).status_code == 412


def test_one_from_code_is_edited_kept_by_deploys_and_reset(
    board: Flask, admin: Shop, superuser: psycopg.Connection[Any]
) -> None:
    edited = change(admin, "jobs.clean_up", cron="30 3 * * *", timezone="Australia/Lord_Howe").json
    assert (edited["edited"], edited["cron"]) == (True, "30 3 * * *")
    with board.app_context():
        assert reconcile() == {}
    assert admin.get(f"{API}/jobs.clean_up").json["cron"] == "30 3 * * *"
    assert admin.delete(f"{API}/jobs.clean_up").json["code"] == "CONFLICT"
    reset = admin.post(f"{API}/jobs.clean_up/reset").json
    assert (reset["edited"], reset["cron"], reset["timezone"]) == (False, "0 2 * * *", "UTC")
    assert admin.post(f"{API}/jobs.clean_up/reset").json == reset
    assert actions(superuser) == ["jobs.schedule_changed", "jobs.schedule_reset"]


def test_only_what_was_made_at_run_time_cannot_be_reset(admin: Shop, own: dict[str, Any]) -> None:
    assert admin.post(f"{API}/counting/reset").json["code"] == "CONFLICT"


def test_it_runs_now_once_though_it_is_asked_for_twice(
    board: Flask, admin: Shop, own: dict[str, Any], run_jobs: Callable[[], int], superuser: psycopg.Connection[Any]
) -> None:
    run_jobs()
    asked = admin.post(f"{API}/counting/run")
    assert (asked.status_code, admin.post(f"{API}/counting/run").json) == (202, asked.json)
    with board.app_context():
        fire()
        fire()
        assert [str(job.id) for job in waiting()] == [asked.json["job_id"]]
    assert admin.get(f"{API}/counting").json["last_job_id"] == asked.json["job_id"]
    assert admin.post(f"{API}/counting/run").json != asked.json
    assert actions(superuser).count("jobs.schedule_run") == 2


def test_one_of_a_tenant_runs_in_it(board: Flask, admin: Shop, run_jobs: Callable[[], int]) -> None:
    run_jobs()
    body = {"name": "theirs", "task": "shelf.count", "every": 60, "arguments": {"book_id": str(new_id())}}
    assert admin.post(API, {**body, "tenant_id": str(DEFAULT.id)}).status_code == 201
    with board.app_context():
        fire(utcnow() + timedelta(seconds=60))
        [job] = waiting()
    assert job.tenant_id == DEFAULT.id


def test_in_another_tenant_only_the_platforms_people_set_anything_going(
    board: Flask, admin: Shop, own: dict[str, Any]
) -> None:
    """A schedule's jobs may do everything: an administrator must not reach the platform by one."""
    body = {"name": "theirs", "task": "shelf.count", "every": 60, "arguments": {"book_id": str(new_id())}}
    refused = admin.post(API, {**body, "tenant_id": str(PLATFORM.id)})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "$.tenant_id")
    with board.app_context(), unit():
        db.session.execute(sa.update(ScheduleRow).where(ScheduleRow.name == "counting").values(tenant_id=PLATFORM.id))
    for answer in (
        admin.get(f"{API}/counting"),
        admin.patch(f"{API}/counting", {"every": 5}, If_Match="*"),
        admin.post(f"{API}/counting/run"),
        admin.delete(f"{API}/counting"),
    ):
        assert answer.status_code == 404
    assert "counting" not in {each["name"] for each in admin.get(API).json["items"]}
    assert admin.post(API, {**body, "name": "counting"}).json["code"] == "CONFLICT"
    with board.app_context(), acting_in(PLATFORM), unit():
        assert schedules.found("counting").tenant_id == PLATFORM.id
        assert schedules.create(msgspec.convert({**body, "tenant_id": DEFAULT.id}, NewSchedule)).tenant_id == DEFAULT.id


def test_the_next_times_are_told_before_and_after(admin: Shop, own: dict[str, Any]) -> None:
    found = admin.get(f"{API}/counting/next", count=3).json["items"]
    assert (len(found), found[0]) == (3, own["next_at"])
    asked = {"cron": "0 2 * * *", "timezone": "Europe/Berlin", "count": 3}
    assert admin.post("/api/jobs/preview", asked).json["items"] == found
    assert len(admin.post("/api/jobs/preview", {"every": 60}).json["items"]) == 10
    assert admin.get(f"{API}/counting/next", count=51).status_code == 422


BAD: list[tuple[dict[str, Any], str]] = [
    ({"cron": "61 * * * *"}, "$.cron"),
    ({"cron": "0 2 30 2 *"}, "$.cron"),
    ({"cron": "0 2 * *"}, "$.cron"),
    ({"cron": "0 2 * * *\x00"}, "$.cron"),
    ({"timezone": "Mars/Phobos"}, "$.timezone"),
    ({"timezone": "../UTC"}, "$.timezone"),
    ({"every": 5}, "$.cron"),
    ({"cron": None}, "$.cron"),
    ({"cron": None, "every": 0}, "$.every"),
    ({"cron": None, "every": True}, "$.every"),
    ({"misfire": "never"}, "$.misfire"),
    ({"task": "shelf.nothing"}, "$.task"),
    ({"arguments": {}}, "$.arguments"),
    ({"arguments": {"book_id": "x", "more": 1}}, "$.arguments"),
    ({"arguments": {"book_id": "x" * 20_000}}, "$.arguments"),
    ({"arguments": []}, "$.arguments"),
    ({"name": "jobs.mine"}, "$.name"),
    ({"name": "Mine"}, "$.name"),
    ({"name": ""}, "$.name"),
    ({"tenant_id": "01a21ba4-0000-7000-8000-000000000000"}, "$.tenant_id"),
    ({"source": "code"}, "$"),
]


@pytest.mark.parametrize(("body", "field"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_told_by_field(admin: Shop, body: dict[str, Any], field: str) -> None:
    good = {"name": "mine", "task": "shelf.count", "cron": "0 2 * * *", "arguments": {"book_id": str(new_id())}}
    refused = admin.post(API, {**good, **body})
    assert refused.status_code == 422, refused.text
    assert refused.json["errors"][0]["field"].startswith(field)
    assert admin.get(f"{API}/mine").status_code == 404


def test_text_that_postgresql_cannot_keep_is_refused(admin: Shop) -> None:
    body = {"name": "mine", "task": "shelf.count", "every": 60, "arguments": {"book_id": "a\x00b"}}
    assert 400 <= admin.post(API, body).status_code < 500


def test_changes_are_checked_as_what_is_new(admin: Shop, own: dict[str, Any]) -> None:
    assert change(admin, "counting", cron="0 2 * * *", every=5).status_code == 422
    assert change(admin, "counting", timezone="Nowhere/Else").json["errors"][0]["field"] == "$.timezone"
    assert change(admin, "counting", arguments={"no": 1}).json["errors"][0]["field"] == "$.arguments"
    assert admin.get(f"{API}/counting").json == own
    assert admin.post(API, {"name": "counting", "task": "shelf.count", "every": 5}).json["code"] == "CONFLICT"


def test_secrets_in_arguments_are_not_shown(board: Flask, admin: Shop) -> None:
    with board.app_context():
        redis.client().hset(tasks.tasks_key(), "t.call", b'{"queue":"default","takes":{"api_key":true}}')
    body = {"name": "calls", "task": "t.call", "every": 60, "arguments": {"api_key": "sk_live_1234567890"}}
    assert admin.post(API, body).json["arguments"] == {"api_key": "[hidden]"}
    shown = admin.get(f"{API}/calls").json["arguments"]
    refused = change(admin, "calls", arguments=shown)
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "$.arguments"), "it is not what it was"
    assert change(admin, "calls", every=90).status_code == 200


def test_who_may_do_what(admin: Shop, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = Shop(client, "alice@example.com")
    new = {"name": "mine", "task": "shelf.count", "every": 5}
    asks: list[Callable[[Shop], Any]] = [
        lambda shop: shop.get(API),
        lambda shop: shop.get(f"{API}/jobs.clean_up"),
        lambda shop: shop.get(f"{API}/jobs.clean_up/next"),
        lambda shop: shop.post(API, new),
        lambda shop: shop.post("/api/jobs/preview", {"every": 5}),
        lambda shop: shop.patch(f"{API}/jobs.clean_up", {"enabled": False}, If_Match="*"),
        lambda shop: shop.delete(f"{API}/jobs.clean_up"),
        lambda shop: shop.post(f"{API}/jobs.clean_up/run"),
        lambda shop: shop.post(f"{API}/jobs.clean_up/reset"),
    ]
    assert [ask(alice).status_code for ask in asks] == [403] * 9
    monkeypatch.setattr(sight, "board_wide", lambda: False)
    assert [ask(admin).status_code for ask in asks] == [403] * 9
    assert client.get(API).status_code == 401


def test_the_same_from_the_command_line(board: Flask, admin: Shop, own: dict[str, Any]) -> None:
    board.cli.add_command(cli.jobs)

    def run(*words: str) -> str:
        return board.test_cli_runner().invoke(args=["jobs", *words]).output

    listed = run("schedules").splitlines()
    assert [line.partition(":")[0] for line in listed] == ["counting", "jobs.clean_up", "jobs.daily_summary"]
    assert "0 2 * * * Europe/Berlin  shelf.count" in listed[0]
    assert "DISABLED" in run("schedule", "disable", "counting")
    assert "next 20" in run("schedule", "enable", "counting")
    assert len(run("schedule", "next", "counting", "--count", "3").splitlines()) == 3
    assert len(run("schedule", "run", "counting").strip()) == 36
    assert run("schedule", "run", "nothing") == "Error: there is no such schedule\n"


# -- what recurs by itself --------------------------------------------------------------------------------------------
