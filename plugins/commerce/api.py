"""What other plugins may know of commerce: its ledger, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from core.errors import declare

INSUFFICIENT_FUNDS = declare("INSUFFICIENT_FUNDS", 409, "There is not enough money in the account")
ACCOUNT_CLOSED = declare("ACCOUNT_CLOSED", 409, "The account is closed")
REFERENCE_REUSED = declare("REFERENCE_REUSED", 409, "The reference names another posting")


class Move(msgspec.Struct, frozen=True):
    """What a posting does to one account: ``amount`` added to it in minor units or, below zero, taken from it."""

    account_id: UUID
    amount: int


class Posted(msgspec.Struct, frozen=True):
    """A posting that stands. ``again`` is true where it stood already, under the same reference."""

    id: UUID
    currency: str
    again: bool = False


class Ledger(Protocol):
    """Double-entry bookkeeping of the current tenant. Works within the current unit of work."""

    def post(self, moves: Sequence[Move], *, kind: str, reference: str | None = None, memo: str = "") -> Posted:
        """Move money between accounts of one currency; the amounts sum to zero.

        The same ``reference`` with the same moves answers the first posting again. Raises ``Refused``: NOT_FOUND for an
        unknown account, ACCOUNT_CLOSED, INSUFFICIENT_FUNDS, REFERENCE_REUSED, VALIDATION_FAILED.
        """
        ...

    def balance_of(self, account_id: UUID) -> int:
        """In minor units of the account's currency. ``Refused(NOT_FOUND)``."""
        ...


class OrderFacts(msgspec.Struct, frozen=True):
    """What others need to know of an order; ``total`` in minor units of ``currency``."""

    id: UUID
    customer_id: UUID
    status: str
    currency: str
    total: int


class Orders(Protocol):
    """The orders of the current tenant. Each call locks its order until the current unit of work ends."""

    def facts(self, order_id: UUID) -> OrderFacts:
        """``Refused(NOT_FOUND)``."""
        ...

    def complete(self, order_id: UUID) -> None:
        """Once or again. ``Refused``: NOT_FOUND, CONFLICT for one that was cancelled."""
        ...
