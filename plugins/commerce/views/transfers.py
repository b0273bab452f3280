"""Transfers between accounts."""

from __future__ import annotations

from core.trust import signed_in
from core.web import Resource
from plugins.commerce.models import TRANSFER
from plugins.commerce.schemas import NewTransfer, TransferOut
from plugins.commerce.services.transfers import transfer
from plugins.commerce.views.routes import routes

transfers = Resource(
    routes,
    "/transfers",
    TRANSFER,
    out=TransferOut,
    create=NewTransfer,
    actions=("list", "get", "create"),
    filters=("from_account_id", "to_account_id", "amount", "currency", "created_at"),
    sorts=("-created_at",),
    permissions={"create": signed_in},  # whose account it is, the service asks
    rules={"create": transfer},
)
