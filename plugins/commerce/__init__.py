"""Commerce: customers, products, orders, and accounts with a double-entry ledger."""

from __future__ import annotations

from core.contracts import PersonalData, ReportSource
from core.registry import Plugin
from plugins.commerce.api import Ledger, Orders

plugin = Plugin(
    name="commerce",
    package=__name__,
    api=1,
    provides={
        PersonalData: "plugins.commerce.services.personal:CustomerData",
        ReportSource: {"sales": "plugins.commerce.services.reports:Sales"},
        Ledger: "plugins.commerce.services.ledger:DoubleEntry",
        Orders: "plugins.commerce.services.orders:OrderBook",
    },
    permissions=(
        "customers:read",
        "customers:write",
        "products:read",
        "products:write",
        "orders:read",
        "orders:write",
        "accounts:read",
        "accounts:write",
        "transfers:read",
    ),
    default_grants={
        "user": ("products:read",),
        "editor": ("products:read", "products:write"),
        "manager": (
            "customers:read",
            "customers:write",
            "products:read",
            "products:write",
            "orders:read",
            "orders:write",
            "accounts:read",
            "transfers:read",
        ),
    },
)
