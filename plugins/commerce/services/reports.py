"""What was sold: the report ``sales``."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core.data import db
from core.data.intervals import interval
from plugins.commerce.models import Order, OrderLine

TOP = 10


class Sales:
    """Answers ``ReportSource``: orders that were completed in the interval, by currency, in minor units."""

    def report(self, since: str, until: str) -> dict[str, Any]:
        begin, end = interval(since, until)
        sold = (Order.status == "completed", Order.completed_at >= begin, Order.completed_at < end)
        by_currency = sa.select(
            Order.currency,
            sa.func.count(Order.id),
            sa.func.sum(Order.total),
            sa.func.count(sa.distinct(Order.customer_id)),
        ).where(*sold)
        placed = sa.select(Order.status, sa.func.count(Order.id).label("orders")).where(
            Order.created_at >= begin, Order.created_at < end
        )
        return {
            "since": begin,
            "until": end,
            "placed": {row.status: row.orders for row in db.session.execute(placed.group_by(Order.status))},
            "revenue": [
                {"currency": currency, "orders": orders, "total": int(total), "customers": buyers}
                for currency, orders, total, buyers in db.session.execute(
                    by_currency.group_by(Order.currency).order_by(Order.currency)
                )
            ],
            "products": _top(sold),
        }


def _top(sold: tuple[sa.ColumnElement[bool], ...]) -> list[dict[str, Any]]:
    """The products that brought most, each in its currency."""
    total = sa.func.sum(OrderLine.total)
    wanted = (
        sa.select(
            OrderLine.product_id, sa.func.max(OrderLine.sku), Order.currency, sa.func.sum(OrderLine.quantity), total
        )
        .join(Order, sa.and_(Order.id == OrderLine.order_id, Order.tenant_id == OrderLine.tenant_id))
        .where(*sold)
        .group_by(OrderLine.product_id, Order.currency)
        .order_by(total.desc(), OrderLine.product_id)
        .limit(TOP)
    )
    return [
        {"product_id": id, "sku": sku, "currency": currency, "quantity": int(quantity), "total": int(earned)}
        for id, sku, currency, quantity, earned in db.session.execute(wanted)
    ]
