"""Somebody who asks commerce over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Flask

from core.contracts import Authorizer, service
from core.data import DEFAULT, acting_in

API = "/api/commerce"


class Shop:
    """One signed-in person: ``shop.post("/customers", {…})`` answers the reply."""

    def __init__(self, client: Any, email: str) -> None:
        self.client = client
        account = {"email": email, "password": "correct horse battery", "display_name": email.partition("@")[0].title()}
        signed_in = client.post("/api/auth/register", json=account)
        assert signed_in.status_code == 201, signed_in.text
        self.headers = {"Authorization": f"Bearer {signed_in.json['access_token']}"}
        self.user_id = UUID(signed_in.json["user"]["id"])

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(self._at(path), query_string=query, headers=self.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("post", path, body, headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        return self._send("put", path, body, headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self._send("patch", path, body, headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self._send("delete", path, None, headers)

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        options = {} if body is None else {"json": body}
        return getattr(self.client, method)(self._at(path), headers={**self.headers, **given}, **options)

    def _at(self, path: str) -> str:
        return path if path.startswith("/api/") else f"{API}{path}"

    def customer(self, name: str = "Carol", **more: Any) -> dict[str, Any]:
        """A new customer, as the board tells of it."""
        body = {"name": name, "email": f"{name.lower().replace(' ', '.')}@example.com", **more}
        made = self.post("/customers", body)
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json
        return found


def administrator(board: Flask) -> Shop:
    """Somebody who may do everything in the tenant ``default``."""
    shop = Shop(board.test_client(), "admin@example.com")
    with board.app_context(), acting_in(DEFAULT):
        service(Authorizer).assign(shop.user_id, "admin")
    return shop
