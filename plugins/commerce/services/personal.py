"""What commerce keeps of a person: the customer records, orders and accounts that are theirs.

Erasing takes away name and address. Orders and the ledger stay, as bookkeeping has to, and say nothing of the person.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.data import db
from plugins.commerce.models import Account, Customer, Order, Transfer

ERASED = "erased"


class CustomerData:
    """Answers ``PersonalData``."""

    def export(self, user_id: UUID) -> dict[str, Any]:
        return {
            "customers": _told(Customer, user_id, "id", "name", "email", "status", "tags", "created_at"),
            "orders": _told(Order, user_id, "id", "customer_id", "status", "currency", "total", "note", "created_at"),
            "accounts": _told(Account, user_id, "id", "name", "currency", "balance", "status", "created_at"),
            "transfers": _told(Transfer, user_id, "id", "amount", "currency", "memo", "created_at"),
        }

    def erase(self, user_id: UUID) -> None:
        for customer in db.session.scalars(sa.select(Customer).where(Customer.owner_id == user_id)):
            customer.name, customer.email = ERASED, f"{customer.id}@invalid.example.com"
            customer.status, customer.tags, customer.owner_id = "closed", [], None
        for model, values in (
            (Order, {"note": "", "owner_id": None}),
            (Account, {"name": ERASED, "owner_id": None}),
            (Transfer, {"memo": "", "owner_id": None}),
        ):
            db.session.execute(sa.update(model).where(model.owner_id == user_id).values(values))


def _told(model: Any, user_id: UUID, *names: str) -> list[dict[str, Any]]:
    wanted = sa.select(*(getattr(model, name) for name in names)).where(model.owner_id == user_id).order_by(model.id)
    return [dict(zip(names, row, strict=True)) for row in db.session.execute(wanted)]
