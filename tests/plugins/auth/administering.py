"""Administrators, helpers and those whom they look after: what the tests of administration have in common."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from auth_helpers import PASSWORD, bearer
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from core.config import settings
from core.contracts import Authorizer, Tenant, service
from core.data import DEFAULT, PLATFORM, acting_in, unit
from plugins.auth.models import User
from plugins.auth.services import people, setup_links

USERS = "/api/auth/users"


class Somebody(NamedTuple):
    """An account that is signed in: its id, and headers that speak in its name."""

    id: str
    headers: dict[str, str]


def somebody(board: Flask, email: str, *roles: str, tenant: Tenant = DEFAULT) -> Somebody:
    """An account with these roles, signed in with the usual password."""
    with board.app_context(), acting_in(tenant):
        signed_in = setup_links.redeem(setup_links.make_link(email, "user"), PASSWORD)
        for role in roles:
            service(Authorizer).assign(signed_in.user.id, role)
    return Somebody(str(signed_in.user.id), bearer(str(signed_in.access_token)))


def administrator(board: Flask, email: str = "admin@example.com", tenant: Tenant = DEFAULT) -> Somebody:
    return somebody(board, email, "super_admin" if tenant is PLATFORM else "admin", tenant=tenant)


def stranger(board: Flask, email: str, tenant: Tenant = DEFAULT, **facts: Any) -> str:
    """The id of an account that nobody signs in to: quick, for no password is hashed."""
    with board.app_context(), acting_in(tenant), unit():
        user = User(**{"email": email, "display_name": email.partition("@")[0], **facts})
        people.add(user)
        return str(user.id)


def roles_of(board: Flask, user_id: str, tenant: Tenant = DEFAULT) -> Sequence[str]:
    with board.app_context(), acting_in(tenant):
        return service(Authorizer).roles_of(UUID(user_id))


def log_in(client: FlaskClient, email: str, password: str = PASSWORD) -> TestResponse:
    return client.post("/api/auth/login", json={"email": email, "password": password})


def stands(client: FlaskClient, headers: dict[str, str]) -> bool:
    return client.get("/api/auth/me", headers=headers).status_code == 200


def mailbox(board: Flask) -> Path:
    """Where mail goes, empty."""
    with board.app_context():
        folder = Path(settings().instance_dir).resolve() / "mail"
    for path in folder.glob("*.eml"):
        path.unlink()
    return folder


def mailed(folder: Path, to: str, purpose: str) -> list[str]:
    """The tokens of the links for a purpose that were mailed to an address, in order."""
    found = []
    for path in sorted(folder.glob("*.eml")):
        letter: Any = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        link = re.search(rf"/auth/{purpose}#token=(\S+)", letter.get_content())
        if link and letter["To"] == to:
            found.append(link[1])
    return found
