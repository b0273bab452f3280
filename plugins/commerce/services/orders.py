"""Orders: placed at the prices of the moment, then completed or cancelled, and never changed in what was bought."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from core.contracts import Authorizer, service
from core.data import db, repeatable, utcnow
from core.errors import CONFLICT, FORBIDDEN, NOT_FOUND, VALIDATION_FAILED, FieldFault, Refused
from core.trust import current_principal
from plugins.commerce.api import OrderFacts
from plugins.commerce.models import Customer, Order, OrderLine, Product
from plugins.commerce.schemas import NewOrder, OrderBody

LARGEST = 10**18


class OrderBook:
    """Answers ``Orders``."""

    def facts(self, order_id: UUID) -> OrderFacts:
        order = self._locked(order_id)
        return OrderFacts(order.id, order.customer_id, order.status, order.currency, order.total)

    def complete(self, order_id: UUID) -> None:
        _become(self._locked(order_id), "completed")

    def _locked(self, order_id: UUID) -> Order:
        order = db.session.get(Order, order_id, with_for_update=True)
        if order is None:
            raise Refused(NOT_FOUND, "there is no such order")
        return order


@repeatable
def place(body: NewOrder) -> Order:
    """A new order of a customer, by who may write orders or by the user whose customer record it is."""
    customer = db.session.scalar(
        sa.select(Customer).where(Customer.id == body.customer_id, Customer.deleted_at.is_(None))
    )
    if not _writes_orders() and (customer is None or customer.owner_id != current_principal().id):
        raise Refused(FORBIDDEN, "this needs orders:write, or a customer record of one's own")
    if customer is None:
        raise _unacceptable("$.customer_id", "there is no such customer")
    if customer.status != "active":
        raise Refused(CONFLICT, f"the customer is {customer.status}")
    products = _products([line.product_id for line in body.lines])
    order = Order(customer_id=customer.id, owner_id=customer.owner_id, note=body.note, currency="", total=0)
    lines = []
    for position, line in enumerate(body.lines):
        product = products.get(line.product_id)
        if product is None or product.status != "active":
            raise _unacceptable(f"$.lines[{position}].product_id", "there is no such product for sale")
        if order.currency not in ("", product.currency):
            raise _unacceptable(
                f"$.lines[{position}].product_id", f"is not sold in {order.currency}, as those before it"
            )
        order.currency = product.currency
        total = product.price * line.quantity
        order.total += total
        lines.append(
            OrderLine(
                position=position,
                product_id=product.id,
                sku=product.sku,
                name=product.name,
                quantity=line.quantity,
                unit_price=product.price,
                total=total,
            )
        )
    if order.total > LARGEST:
        raise _unacceptable("$.lines", "the total is larger than any that can be kept")
    db.session.add(order)
    db.session.flush()
    for made in lines:
        made.order_id = order.id
    db.session.add_all(lines)
    db.session.flush()
    return order


@repeatable
def change(order: Order, body: OrderBody) -> None:
    """Complete or cancel an order, or say something about it. Who owns it may cancel it."""
    if body.status != order.status:
        if body.status == "completed" and not _writes_orders():
            raise Refused(FORBIDDEN, "this needs orders:write")
        _become(order, body.status)
    order.note = body.note
    db.session.flush()


def _become(order: Order, status: str) -> None:
    if order.status == status:
        return
    if order.status != "placed":
        raise Refused(CONFLICT, f"the order is {order.status} already")
    order.status = status
    order.completed_at = utcnow() if status == "completed" else None
    db.session.flush()


def _products(ids: list[UUID]) -> dict[UUID, Product]:
    wanted = sa.select(Product).where(Product.id.in_(set(ids)), Product.deleted_at.is_(None))
    return {product.id: product for product in db.session.scalars(wanted)}


def _writes_orders() -> bool:
    return bool(service(Authorizer).decide(current_principal(), "orders:write"))


def _unacceptable(field: str, detail: str) -> Refused:
    return Refused(VALIDATION_FAILED, f"{field}: {detail}", fields=(FieldFault(field, "INVALID", detail),))
