"""What the tests of accounts have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PASSWORD = "correct horse battery"

SignUp = Callable[..., dict[str, Any]]
MakeLink = Callable[..., str]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def code(reply: Any) -> tuple[int, str]:
    """Status and code of a problem."""
    return reply.status_code, reply.get_json()["code"]
