"""A board small enough for one test: the web rooms, the routes given, and stand-ins that the test can steer.

It connects to nothing until something asks a store; with ``database_url`` of the ``servers`` it has real ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

from flask import Flask

from core.config import BoardSettings, Secret
from core.contracts import Authenticator, Authorizer, Decision, Principal, Services, Tenant, TenantDirectory
from core.data import models, redis
from core.data.tenancy import DEFAULT, PLATFORM
from core.trust import identity, permissions
from core.web import edge, replies
from core.web.routes import Routes

NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"


class Grants:
    """An Authorizer that allows what ``allowed`` holds, and notes what it was asked."""

    def __init__(self) -> None:
        self.allowed: set[str] = set()
        self.roles: tuple[str, ...] = ()
        self.asked: list[tuple[str, str | None, UUID | None]] = []

    def decide(self, who: Principal, permission: str, kind: str | None = None, id: UUID | None = None) -> Decision:
        self.asked.append((permission, kind, id))
        return Decision(permission in self.allowed, missing=(permission,))

    def roles_of(self, principal_id: UUID) -> tuple[str, ...]:
        return self.roles


class Sessions:
    def session_stands(self, who: Principal, issued_at: int) -> bool:
        return True


class Tenants:
    known = (DEFAULT, PLATFORM)

    def by_id(self, tenant_id: UUID) -> Tenant | None:
        return next((tenant for tenant in self.known if tenant.id == tenant_id), None)

    def by_slug(self, slug: str) -> Tenant | None:
        return next((tenant for tenant in self.known if tenant.slug == slug), None)

    def by_domain(self, host: str) -> Tenant | None:
        return None

    def every(self) -> Iterable[Tenant]:
        return self.known


def small_board(*routes: Routes, **settings: Any) -> Flask:
    """An app with ``routes`` under ``/api/small`` and its grants at ``app.extensions["grants"]``."""
    values: dict[str, Any] = {
        "app_env": "development",
        "secret_keys": (Secret("a test's own secret, which is long enough"),),
        "rate_limit": "0",
        "database_url": NOWHERE,
        "redis_url": "redis://127.0.0.1:9/0",
        "mongodb_uri": "mongodb://127.0.0.1:9/nothing",
    }
    app = Flask("small")
    app.extensions["pegboard.settings"] = BoardSettings(**{**values, **settings})
    app.extensions["pegboard.kind"] = "web"
    app.extensions["pegboard.services"] = services = Services()
    app.extensions["grants"] = grants = Grants()
    for contract, implementation in ((Authorizer, grants), (Authenticator, Sessions()), (TenantDirectory, Tenants())):
        services.provide(contract, "small", lambda made=implementation: made)
    for room in (models, redis, permissions, identity, replies, edge):
        room.init_app(app)
    for number, each in enumerate(routes):
        app.register_blueprint(each, name=f"small{number or ''}", url_prefix="/api/small")
        assert not each.faults()
    return app


def token_for(app: Flask, user_id: UUID, tenant: Tenant = DEFAULT) -> dict[str, str]:
    """Headers of someone who is signed in."""
    with app.app_context():
        token, _ = identity.mint_access_token(user_id, models.new_id(), tenant.id)
    return {"Authorization": f"Bearer {token}"}


def forget(app: Flask) -> None:
    """Close the app's connections, if it ever had any."""
    with app.app_context(), suppress(Exception):
        models.db.engine.dispose()
