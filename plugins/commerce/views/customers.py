"""Customers, and which of them have ordered what."""

from __future__ import annotations

from core.web import Many, Resource
from plugins.commerce.models import CUSTOMER, ORDER
from plugins.commerce.schemas import CustomerBody, CustomerOut, OrderBrief
from plugins.commerce.views.routes import routes

customers = Resource(
    routes,
    "/customers",
    CUSTOMER,
    out=CustomerOut,
    body=CustomerBody,
    filters=("status", "email", "created_at", "tags", "owner_id"),
    sorts=("-created_at", "name"),
    include={
        "orders": Many(ORDER, OrderBrief, by="customer_id", filters=("status", "total", "currency", "created_at"))
    },
    search=("search_vector", "simple"),
)
