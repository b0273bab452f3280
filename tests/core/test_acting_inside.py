"""Staff of the platform inside a tenant, on a real database: both logs tell of it."""

from __future__ import annotations

from typing import Any

from flask import Flask
from small_board import forget, small_board, token_for

from core.data.models import new_id
from core.data.tenancy import DEFAULT, PLATFORM
from core.errors import NOT_FOUND, Refused
from core.ops.testbed import TestServers
from core.trust.permissions import public
from core.web.routes import Routes, limited

routes = Routes(__name__)


limited_routes = Routes(f"{__name__}.limited")


@limited_routes.get("/rare")
@public
@limited("2/hour", by="ip")
def rare() -> None:
    """Twice an hour."""


@routes.get("/fails")
@public
def fails() -> None:
    raise Refused(NOT_FOUND)


def test_both_logs_have_the_entry_whatever_becomes_of_the_request(servers: TestServers, superuser: Any) -> None:
    app = small_board(routes, database_url=servers.database_url)
    app.extensions["grants"].roles = ("super_admin",)
    who = new_id()
    headers = {**token_for(app, who, PLATFORM), "X-Tenant-ID": "default", "X-Acting-Reason": "ticket 4711"}
    try:
        assert app.test_client().get("/api/small/fails", headers=headers).status_code == 404
    finally:
        forget(app)
    found = superuser.execute(
        "select tenant_id, action, reason, acting_reason, after->>'path' from core_audit where actor_id = %s", (who,)
    ).fetchall()
    same = ("tenants.acted_inside", "ticket 4711", "ticket 4711", "/api/small/fails")
    assert sorted(found) == [(DEFAULT.id, *same), (PLATFORM.id, *same)]


def test_an_account_of_the_platform_without_its_role_goes_nowhere(servers: TestServers, superuser: Any) -> None:
    app = small_board(routes, database_url=servers.database_url)
    who = new_id()
    headers = {**token_for(app, who, PLATFORM), "X-Tenant-ID": "default", "X-Acting-Reason": "curiosity"}
    try:
        reply = app.test_client().get("/api/small/fails", headers=headers)
    finally:
        forget(app)
    assert (reply.status_code, reply.json["code"]) == (403, "TENANT_MISMATCH")
    assert superuser.execute("select count(*) from core_audit where actor_id = %s", (who,)).fetchone() == (0,)


def test_what_is_refused_for_being_too_much_writes_nothing(board: Flask, servers: TestServers, superuser: Any) -> None:
    app = small_board(limited_routes, database_url=servers.database_url, redis_url=servers.redis_url)
    app.extensions["grants"].roles = ("super_admin",)
    who = new_id()
    headers = {**token_for(app, who, PLATFORM), "X-Tenant-ID": "default", "X-Acting-Reason": "ticket 4712"}
    try:
        client = app.test_client()
        statuses = [client.get("/api/small/rare", headers=headers).status_code for _ in range(5)]
    finally:
        forget(app)
    assert statuses == [204, 204, 429, 429, 429]
    assert superuser.execute("select count(*) from core_audit where actor_id = %s", (who,)).fetchone() == (4,)
