"""People for the tests of commerce: one who administers the tenant, and one who has no role."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from shop import Shop, administrator


@pytest.fixture
def alice(client: Any) -> Shop:
    return Shop(client, "alice@example.com")


@pytest.fixture
def admin(board: Flask) -> Shop:
    return administrator(board)
