from __future__ import annotations

from uuid import UUID

import msgspec
import sqlalchemy as sa

from core.data import db
from core.errors import NOT_FOUND, Refused
from core.trust import requires
from core.web import Created, Page, PageQuery, Routes, paginate
from plugins.commerce.models import Customer
from plugins.commerce.schemas import CustomerBody, CustomerOut

routes = Routes(__name__)

LIVE = sa.select(Customer).where(Customer.deleted_at.is_(None))


def out(customer: Customer) -> CustomerOut:
    return msgspec.convert(customer, CustomerOut, from_attributes=True)


@routes.get("/customers")
@requires("customers:read")
def list_customers(query: PageQuery) -> Page[CustomerOut]:
    page = paginate(LIVE, ((Customer.created_at, "desc"), (Customer.id, "desc")), query)
    return page.map(out)


@routes.get("/customers/<uuid:id>")
@requires("customers:read")
def get_customer(id: UUID) -> CustomerOut:
    found = db.session.scalar(LIVE.where(Customer.id == id))
    if found is None:
        raise Refused(NOT_FOUND)
    return out(found)


@routes.post("/customers")
@requires("customers:write")
def add_customer(body: CustomerBody) -> Created[CustomerOut]:
    customer = Customer(**msgspec.structs.asdict(body))
    db.session.add(customer)
    db.session.flush()
    return Created(out(customer), location=f"/api/plain/customers/{customer.id}")
