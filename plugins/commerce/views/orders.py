"""Orders, with their lines and their customer beside them."""

from __future__ import annotations

from core.trust import signed_in
from core.web import Many, One, Resource
from plugins.commerce.models import CUSTOMER, ORDER, OrderLine
from plugins.commerce.schemas import CustomerBrief, LineOut, NewOrder, OrderBody, OrderOut
from plugins.commerce.services import orders as rules
from plugins.commerce.views.routes import routes

orders = Resource(
    routes,
    "/orders",
    ORDER,
    out=OrderOut,
    body=OrderBody,
    create=NewOrder,
    actions=("list", "get", "history", "create", "replace", "patch"),
    filters=("status", "customer_id", "currency", "total", "created_at", "completed_at"),
    sorts=("-created_at", "total"),
    include={
        "lines": Many(OrderLine, LineOut, by="order_id", sort="position", limit=200),
        "customer": One(CUSTOMER, CustomerBrief, by="customer_id"),
    },
    permissions={"create": signed_in},  # whose customer it is, the service asks
    rules={"create": rules.place, "replace": rules.change},
)
