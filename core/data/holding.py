"""Back-pressure: which rows of the outbox are to stay there for now, as whoever knows the queues tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from core.data.envelopes import Envelope


class Hold(NamedTuple):
    """Jobs of these tenants (``None``: the board's own) that are called so or, with ``others``, otherwise."""

    tenants: frozenset[UUID | None]
    names: frozenset[str]
    others: bool = False

    def has(self, envelope: Envelope) -> bool:
        return envelope.tenant_id in self.tenants and (envelope.name in self.names) is not self.others

    def spares(self, row: Any) -> sa.ColumnElement[bool]:
        """Of a class of rows those that it does not hold."""
        named = [tenant for tenant in self.tenants if tenant is not None]
        others_tenant = row.tenant_id.not_in(named)
        if None in self.tenants:
            others_tenant = sa.and_(row.tenant_id.is_not(None), others_tenant)
        else:
            others_tenant = sa.or_(row.tenant_id.is_(None), others_tenant)
        return sa.or_(others_tenant, row.name.in_(self.names) if self.others else row.name.not_in(self.names))


class Holds(NamedTuple):
    """What is to stay for now: of these envelopes, which a sweep is about to hand over, and what else a sweep need not
    look at; and of what has just been enqueued, where that would overtake what waits for the sweep."""

    of_sweep: Callable[[Sequence[Envelope]], Sequence[Hold]] = lambda envelopes: ()
    of_new: Callable[[], Sequence[Hold]] = tuple
