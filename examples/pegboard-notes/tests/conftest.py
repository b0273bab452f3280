"""The board's own fixtures, on real servers that are started for the run; every installed plugin is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest_plugins = ["core.ops.testing"]

Person = dict[str, str]


@pytest.fixture
def person(client: Any) -> Callable[[str], Person]:
    """Register somebody; answers the headers that their requests carry."""

    def register(name: str) -> Person:
        account = {"email": f"{name}@example.com", "password": "correct horse battery", "display_name": name.title()}
        reply = client.post("/api/auth/register", json=account)
        assert reply.status_code == 201, reply.text
        return {"Authorization": f"Bearer {reply.json['access_token']}"}

    return register


@pytest.fixture
def alice(person: Callable[[str], Person]) -> Person:
    return person("alice")


@pytest.fixture
def bob(person: Callable[[str], Person]) -> Person:
    return person("bob")
