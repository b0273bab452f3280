"""Failed log-ins counted: by origin, by account, by hour; from an index, and of this tenant alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from administering import Somebody, administrator
from auth_helpers import code
from flask import Flask
from flask.testing import FlaskClient

from core.data import DEFAULT, PLATFORM
from core.data.models import db

Superuser = psycopg.Connection[Any]

PATH = "/api/auth/anomalies"
NOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)


@pytest.fixture
def admin(board: Flask) -> Somebody:
    return administrator(board)


def fail(
    superuser: Superuser, ip: str, account: str, at: datetime, *, tenant: Any = DEFAULT.id, kind: str = "log_in_failed"
) -> None:
    superuser.execute(
        "insert into auth_events (id, tenant_id, kind, account, ip, user_agent, details, created_at, updated_at)"
        " values (gen_random_uuid(), %s, %s, %s, %s, '', '{}', %s, now())",
        (tenant, kind, account, ip, at),
    )


@pytest.fixture
def failures(admin: Somebody, superuser: Superuser) -> None:
    for minute in range(3):
        fail(superuser, "192.0.2.1", f"user{minute}@example.com", NOON + timedelta(minutes=minute))
    for minute in range(2):
        fail(superuser, f"198.51.100.{minute}", "user0@example.com", NOON + timedelta(hours=1, minutes=minute))
    fail(superuser, "203.0.113.1", "old@example.com", datetime.now(UTC) - timedelta(hours=25))
    fail(superuser, "192.0.2.1", "user0@example.com", NOON, tenant=PLATFORM.id)
    fail(superuser, "192.0.2.1", "user0@example.com", NOON, kind="logged_in")


def items(client: FlaskClient, admin: Somebody, **query: Any) -> list[dict[str, Any]]:
    reply = client.get(PATH, query_string=query, headers=admin.headers)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.get_json()["items"]
    return found


def at(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@pytest.mark.usefixtures("failures")
def test_by_origin(client: FlaskClient, admin: Somebody) -> None:
    first, *others = items(client, admin)
    last = at(NOON + timedelta(minutes=2))
    assert first == {"key": "192.0.2.1", "failures": 3, "accounts": 3, "last_at": last}
    assert [(item["key"], item["failures"]) for item in others] == [("198.51.100.1", 1), ("198.51.100.0", 1)]
    assert items(client, admin, by="ip", limit=1) == [first]


@pytest.mark.usefixtures("failures")
def test_by_account(client: FlaskClient, admin: Somebody) -> None:
    first, *others = items(client, admin, by="account")
    last = at(NOON + timedelta(hours=1, minutes=1))
    assert first == {"key": "user0@example.com", "failures": 3, "ips": 3, "last_at": last}
    assert [item["key"] for item in others] == ["user2@example.com", "user1@example.com"]


@pytest.mark.usefixtures("failures")
def test_by_hour(client: FlaskClient, admin: Somebody) -> None:
    first, second = items(client, admin, by="hour")
    last = at(NOON + timedelta(minutes=2))
    assert first == {"key": at(NOON), "failures": 3, "accounts": 3, "ips": 1, "last_at": last}
    assert (second["key"], second["failures"]) == (at(NOON + timedelta(hours=1)), 2)


@pytest.mark.usefixtures("failures")
def test_since_when(client: FlaskClient, admin: Somebody) -> None:
    since = at(datetime.now(UTC) - timedelta(days=2))
    assert "old@example.com" in {item["key"] for item in items(client, admin, by="account", since=since)}
    assert items(client, admin, since=at(NOON + timedelta(minutes=62))) == []
    for wrong in (at(datetime.now(UTC) - timedelta(days=91)), "yesterday", "2026-01-01T00:00:00"):
        reply = client.get(PATH, query_string={"since": wrong}, headers=admin.headers)
        assert code(reply) == (422, "VALIDATION_FAILED")
        assert reply.get_json()["errors"][0]["field"] == "since"
    for query in ({"by": "colour"}, {"limit": "0"}, {"limit": "101"}):
        assert code(client.get(PATH, query_string=query, headers=admin.headers)) == (422, "VALIDATION_FAILED")


@pytest.mark.parametrize("by", ["ip", "account", "hour"])
def test_the_index_is_used(board: Flask, client: FlaskClient, admin: Somebody, superuser: Superuser, by: str) -> None:
    superuser.execute(
        "insert into auth_events (id, tenant_id, kind, account, ip, user_agent, details, created_at, updated_at)"
        " select gen_random_uuid(), %s, case when n %% 20 = 0 then 'log_in_failed' else 'logged_in' end,"
        " 'u' || n %% 50, '192.0.2.' || n %% 9, '', '{}', now() - n * interval '1 minute', now()"
        " from generate_series(1, 20000) n",
        (DEFAULT.id,),
    )
    superuser.execute("analyze auth_events")
    said: list[tuple[str, Any]] = []
    note = lambda conn, cursor, statement, parameters, *rest: said.append((statement, parameters))  # noqa: E731
    with board.app_context():
        engine = db.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        assert items(client, admin, by=by)
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    ((statement, parameters),) = [(text, given) for text, given in said if "GROUP BY" in text]
    plan = superuser.execute(f"explain {statement}", parameters).fetchall()
    assert "ix_auth_events_tenant_id_kind_created_at" in str(plan), plan
