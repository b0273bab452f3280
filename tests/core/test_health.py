"""/livez, /readyz and /metrics: what they say, to whom, and when stores are away."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from small_board import small_board
from throwaway import eventually

from core.config import Secret
from core.data import outbox
from core.data.migrations import behind
from core.data.unit import unit
from core.registry import Plugin
from core.registry.discovery import Mounted, Registry
from core.web import checks, health

NOWHERE = {"redis_url": "redis://127.0.0.1:9/0", "mongodb_uri": "mongodb://127.0.0.1:9/nothing"}


@pytest.fixture(autouse=True)
def ask_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request asks the stores, so that one test does not see another's answer."""
    monkeypatch.setattr(health, "FRESH", 0.0)


def board(monkeypatch: pytest.MonkeyPatch, stores: dict[str, Any] | None = None, **settings: Any) -> Flask:
    """A board whose stores are up, unless ``stores`` says otherwise."""
    up = dict.fromkeys(checks.STORES, lambda: None)
    monkeypatch.setattr(checks, "STORES", {**up, **(stores or {})})
    monkeypatch.setattr(checks, "IN_DATABASE", {"outbox": lambda: {"waiting": 0}})
    monkeypatch.setattr(health.duties, "last_runs", dict)
    app = small_board(**settings)
    off = Mounted(Plugin(name="lost", package="lost"), state="off", reason="LOST_KEY is not set")
    app.extensions["pegboard.registry"] = Registry([Mounted(Plugin(name="found", package="found"), load_ms=1.25), off])
    health.init_app(app)
    return app


def away() -> None:
    raise ConnectionError("could not connect to db.internal:5432 as admin:hunter2")


def ready(app: Flask, **environ: str) -> tuple[int, dict[str, Any]]:
    reply = app.test_client().get("/readyz", environ_overrides=environ)
    return reply.status_code, reply.get_json()


# -- /livez -----------------------------------------------------------------------------------------------------


def test_livez_asks_nobody() -> None:
    app = small_board(**NOWHERE)
    health.init_app(app)
    for name in health.checks.STORES:
        app.extensions["pegboard.health"].checks[name].call = None
    reply = app.test_client().get("/livez")
    assert (reply.status_code, reply.json) == (200, {"status": "alive"})
    assert reply.headers["Cache-Control"] == "no-store"


# -- /readyz ----------------------------------------------------------------------------------------------------


def test_ready_when_everything_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = ready(board(monkeypatch))
    assert (status, said["status"], said["down"]) == (200, "ready", [])
    assert set(said["checks"]) == {"database", "redis", "documents", "outbox"}
    assert said["checks"]["database"]["state"] == "up"
    assert said["checks"]["database"]["ms"] >= 0
    assert said["checks"]["outbox"]["facts"] == {"waiting": 0}
    assert said["plugins"]["found"] == {"state": "on", "load_ms": 1.2}


@pytest.mark.parametrize("store", ["redis", "documents"])
def test_degraded_but_serving_without_redis_or_documents(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    status, said = ready(board(monkeypatch, {store: away}))
    assert (status, said["status"], said["down"]) == (200, "degraded", [store])


def test_down_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    app = board(monkeypatch, {"database": away})
    status, said = ready(app)
    assert (status, said["status"], said["down"]) == (503, "down", ["database"])
    assert "outbox" not in said["checks"], "what needs the database is not counted as down on its own"
    assert app.test_client().get("/readyz").headers["Retry-After"] == "5"
    assert app.test_client().get("/livez").status_code == 200


def test_strangers_are_told_no_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    app = board(monkeypatch, {"database": away})
    text = app.test_client().get("/readyz", environ_overrides={"REMOTE_ADDR": "203.0.113.7"}).text
    for secret in ("db.internal", "hunter2", "ConnectionError", "LOST_KEY"):
        assert secret not in text
    assert ready(app, REMOTE_ADDR="127.0.0.1")[1]["plugins"]["lost"]["reason"] == "LOST_KEY is not set"


def test_stores_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DEADLINE", 60)
    both = threading.Barrier(2)
    app = board(monkeypatch, {"redis": lambda: both.wait(30) and None, "documents": lambda: both.wait(30) and None})
    assert ready(app)[1]["down"] == [], "each was asked before the other had answered"


def test_a_hanging_one_is_down_and_not_asked_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DEADLINE", 1.0)
    release, calls = threading.Event(), []

    def hangs() -> None:
        calls.append(1)
        release.wait(60)

    app = board(monkeypatch, {"redis": hangs})
    status, said = ready(app)
    assert (status, said["down"]) == (200, ["redis"])
    monkeypatch.setattr(health, "DEADLINE", 0.05)
    ready(app)
    assert len(calls) == 1, "not meanwhile"
    monkeypatch.setattr(health, "DEADLINE", 30)
    release.set()
    eventually(lambda: ready(app)[1]["status"] == "ready")


def test_many_callers_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH", 5.0)
    calls: list[int] = []
    app = board(monkeypatch, {"redis": lambda: calls.append(1)})
    threads = [threading.Thread(target=ready, args=(app,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_rooms_and_plugins_add_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    app = board(monkeypatch)
    health.add_check(app, "hub", lambda: {"sockets": 3})
    assert ready(app)[1]["checks"]["hub"]["facts"] == {"sockets": 3}
    health.add_check(app, "queue", away)
    health.add_check(app, "behind the queue", lambda: None, needs="queue")
    status, said = ready(app)
    assert (status, said["status"], said["down"]) == (200, "degraded", ["queue"])
    health.add_check(app, "everything", away, vital=True)
    assert ready(app)[0] == 503


def test_duties_tell_their_last_run(monkeypatch: pytest.MonkeyPatch) -> None:
    app = board(monkeypatch)
    run = {"started": "2026-01-31T09:30:00Z", "ended": "2026-01-31T09:30:01Z", "next": "2026-01-31T09:31:00Z", "pid": 7}
    monkeypatch.setattr(health.duties, "last_runs", lambda: {"core.sweep": {**run, "error": "E: db.internal"}})
    stranger = ready(app, REMOTE_ADDR="203.0.113.7")[1]["duties"]["core.sweep"]
    assert stranger["failed"] is True
    assert "error" not in stranger
    assert "pid" not in stranger
    assert ready(app)[1]["duties"]["core.sweep"]["error"] == "E: db.internal"


def test_the_real_board_is_ready(client: FlaskClient) -> None:
    reply = client.get("/readyz")
    said = reply.get_json()
    assert (reply.status_code, said["status"], said["down"]) == (200, "ready", [])
    assert said["checks"]["outbox"]["facts"] == {"waiting": 0, "oldest_seconds": 0.0}
    assert said["checks"]["migrations"]["facts"] == {"pending": []}
    assert said["plugins"]["shelf"]["state"] == "on"


def test_jobs_that_wait_are_counted(ctx: Flask) -> None:
    with unit() as work:
        outbox.put("task", "shelf.count", {})
        outbox.put("task", "shelf.count", {}, delay=3600)
        work.after.clear()  # as when the process dies right after the commit: nobody hands the rows over
    facts = ctx.test_client().get("/readyz").get_json()["checks"]["outbox"]["facts"]
    assert facts["waiting"] == 1, "the other one is not due yet"


def test_with_every_store_away_the_board_says_so_and_stays_alive() -> None:
    app = small_board(**NOWHERE)
    app.extensions["pegboard.registry"] = Registry([])
    health.init_app(app)
    status, said = ready(app)
    assert (status, said["status"], said["down"]) == (503, "down", ["database", "redis", "documents"])
    assert app.test_client().get("/livez").status_code == 200


def test_pending_migrations_are_named(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        behind, "_revisions", lambda history: ({"0001", "9999"}, {"9999"} if history.name == "shelf" else set())
    )
    assert checks.migrations() == {"pending": ["shelf"]}


# -- /metrics ---------------------------------------------------------------------------------------------------


def metrics(app: Flask, headers: dict[str, str] | None = None, address: str = "127.0.0.1") -> tuple[int, str]:
    reply = app.test_client().get("/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": address})
    return reply.status_code, "" if reply.status_code == 200 else reply.get_json()["code"]


def test_without_a_token_only_this_machine_reads_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    app = board(monkeypatch)
    assert metrics(app) == (200, "")
    assert metrics(app, address="::1") == (200, "")
    assert metrics(app, address="203.0.113.7") == (403, "FORBIDDEN")
    assert metrics(app, address="") == (403, "FORBIDDEN")
    # A proxy on this machine speaks for others, declared or not.
    assert metrics(app, {"X-Forwarded-For": "203.0.113.7"}) == (403, "FORBIDDEN")
    proxied = board(monkeypatch, trusted_proxies=1)
    assert metrics(proxied, {"X-Forwarded-For": "127.0.0.1"}) == (403, "FORBIDDEN")


def test_with_a_token_only_who_has_it_reads_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    app = board(monkeypatch, metrics_token=Secret("a long and secret token"))
    assert metrics(app) == (401, "TOKEN_MISSING")
    assert metrics(app, {"Authorization": "Bearer another token"}) == (401, "TOKEN_INVALID")
    assert metrics(app, {"Authorization": "Basic a long and secret token"}) == (401, "TOKEN_INVALID")
    assert metrics(app, {"Authorization": "Bearer a long and secret token"}) == (200, "")
    assert metrics(app, {"Authorization": "Bearer a long and secret token"}, "203.0.113.7") == (200, "")


def test_metrics_are_in_the_text_format(monkeypatch: pytest.MonkeyPatch) -> None:
    app = board(monkeypatch)
    app.test_client().get("/livez")
    reply = app.test_client().get("/metrics")
    assert reply.mimetype == "text/plain"
    assert 'http_requests_total{method="GET",route="/livez",status="200"}' in reply.text
