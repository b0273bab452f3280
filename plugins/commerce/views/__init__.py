"""The routes of commerce, each resource in a room of its own."""

from __future__ import annotations

from plugins.commerce.views import (
    accounts as accounts,
    customers as customers,
    orders as orders,
    products as products,
    reports as reports,
    transfers as transfers,
)
from plugins.commerce.views.routes import routes as routes
