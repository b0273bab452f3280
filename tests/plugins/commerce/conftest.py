"""People for the tests of commerce: one who administers the tenant, and one who has no role."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from shop import Shop

from core.contracts import Authorizer, service
from core.data import DEFAULT, acting_in


@pytest.fixture
def alice(client: Any) -> Shop:
    return Shop(client, "alice@example.com")


@pytest.fixture
def admin(client: Any, board: Flask) -> Shop:
    """Somebody who may do everything in the tenant ``default``."""
    shop = Shop(client, "admin@example.com")
    with board.app_context(), acting_in(DEFAULT):
        service(Authorizer).assign(shop.user_id, "admin")
    return shop
