"""Staff of the platform inside a tenant, on a real database: both logs tell of it."""

from __future__ import annotations

from typing import Any

from small_board import forget, small_board, token_for

from core.data.models import new_id
from core.data.tenancy import DEFAULT, PLATFORM
from core.errors import NOT_FOUND, Refused
from core.ops.testbed import TestServers
from core.trust.permissions import public
from core.web.routes import Routes

routes = Routes(__name__)


@routes.get("/fails")
@public
def fails() -> None:
    raise Refused(NOT_FOUND)


def test_both_logs_have_the_entry_whatever_becomes_of_the_request(servers: TestServers, superuser: Any) -> None:
    app = small_board(routes, database_url=servers.database_url)
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
