"""Helpers for accounts: sign up, log in, make a link, count the hashes that were computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from auth_helpers import PASSWORD, SignUp
from flask import Flask
from flask.testing import FlaskClient

from core.data import DEFAULT, acting_in
from plugins.auth import passwords
from plugins.auth.services import setup_links


@pytest.fixture
def sign_up(client: FlaskClient) -> SignUp:
    """Register and answer the reply's body."""

    def call(email: str = "alice@example.com", password: str = PASSWORD, name: str = "Alice") -> dict[str, Any]:
        body = {"email": email, "password": password, "display_name": name}
        reply = client.post("/api/auth/register", json=body)
        assert reply.status_code == 201, reply.text
        found: dict[str, Any] = reply.get_json()
        return found

    return call


@pytest.fixture
def make_link(board: Flask) -> Callable[..., str]:
    """A setup token, as `flask auth admin` makes it."""

    def call(email: str = "admin@example.com", role: str = "admin", tenant: Any = DEFAULT) -> str:
        with board.app_context(), acting_in(tenant):
            return setup_links.make_link(email, role)

    return call


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hashes that passwords were verified against, in order."""
    seen: list[str] = []
    verify = passwords._verify

    def counted(known: str, password: bytes) -> bool:
        seen.append(known)
        return verify(known, password)

    monkeypatch.setattr(passwords, "_verify", counted)
    return seen
