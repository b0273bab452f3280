"""The routes of commerce, each resource in a room of its own."""

from __future__ import annotations

from plugins.commerce.views import customers as customers, products as products
from plugins.commerce.views.routes import routes as routes
