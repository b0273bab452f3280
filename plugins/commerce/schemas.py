"""What goes over the wire. Amounts of money are integers in minor units of their currency (ISO 4217)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from core.web import Body

Name = Annotated[str, Meta(min_length=1, max_length=200, examples=["Alice"])]
Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254, examples=["alice@example.com"])]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", examples=["EUR"])]
Money = Annotated[int, Meta(examples=[1250], description="in minor units of the currency")]
Amount = Annotated[Money, Meta(ge=0, le=10**15)]
Tag = Annotated[str, Meta(min_length=1, max_length=50, pattern="^[^,]+$", examples=["regular"])]
Tags = Annotated[list[Tag], Meta(max_length=50, examples=[["regular"]])]
TagsOut = Annotated[list[str], Meta(examples=[["regular"]])]
Sku = Annotated[str, Meta(min_length=1, max_length=64, examples=["TEA-250"])]
ProductName = Annotated[str, Meta(min_length=1, max_length=200, examples=["Green tea, 250 g"])]
Description = Annotated[str, Meta(max_length=20_000, examples=["Leaves from the first harvest"])]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]
Note = Annotated[str, Meta(max_length=2000, examples=["Ring twice"])]

CustomerStatus = Literal["active", "blocked", "closed"]
ProductStatus = Literal["active", "retired"]
OrderStatus = Annotated[Literal["placed", "completed", "cancelled"], Meta(examples=["completed"])]


class CustomerBody(Body):
    name: Name
    email: Email
    status: CustomerStatus = "active"
    tags: Tags = []
    owner_id: Annotated[UUID, Meta(description="the user whose record it is")] | None = None


class CustomerOut(msgspec.Struct):
    id: UUID
    name: Name
    email: Email
    status: CustomerStatus
    tags: TagsOut
    owner_id: UUID | None
    version: int
    created_at: datetime
    updated_at: datetime


class CustomerBrief(msgspec.Struct):
    id: UUID
    name: Name
    email: Email
    status: CustomerStatus


class ProductBody(Body):
    sku: Sku
    name: ProductName
    description: Description = ""
    price: Amount
    currency: Currency
    status: ProductStatus = "active"
    tags: Tags = []


class ProductOut(msgspec.Struct):
    id: UUID
    sku: Sku
    name: ProductName
    description: Description
    price: Money
    currency: Currency
    status: ProductStatus
    tags: TagsOut
    version: int
    created_at: datetime
    updated_at: datetime


class ProductSearch(Body):
    q: Annotated[str, Meta(min_length=1, max_length=200, description="words, as in a web search")]
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class Found(msgspec.Struct):
    """A product that was found; ``highlight`` is HTML with ``<mark>`` around what was asked for."""

    id: UUID
    sku: Sku
    name: ProductName
    price: Money
    currency: Currency
    rank: float
    highlight: Annotated[str, Meta(examples=["Green <mark>tea</mark>, 250 g"])]


class SearchResult(msgspec.Struct):
    """The best first. ``alike``: nothing has these words, and this is spelt like them."""

    items: list[Found]
    alike: bool


class OrderBrief(msgspec.Struct):
    id: UUID
    status: OrderStatus
    currency: Currency
    total: Money
    created_at: datetime
    completed_at: datetime | None


# -- money ------------------------------------------------------------------------------------------------------

AccountKind = Literal["customer", "house", "opening"]
AccountStatus = Annotated[Literal["open", "closed"], Meta(examples=["open"])]
ToAccount = Annotated[UUID, Meta(examples=["01890a5e-1f3c-7a2b-8c4d-5e6f70819203"])]  # not the one that pays
Memo = Annotated[str, Meta(max_length=500, examples=["Rent"])]


class NewAccount(Body):
    name: Name
    currency: Currency
    kind: Literal["customer", "house"] = "customer"
    overdraft: Annotated[bool, Meta(description="whether it may go below zero")] = False
    opening_balance: Amount = 0
    owner_id: Annotated[UUID, Meta(description="the user whose account it is")] | None = None


class AccountBody(Body):
    name: Name
    status: AccountStatus = "open"


class AccountOut(msgspec.Struct):
    id: UUID
    name: Name
    kind: AccountKind
    currency: Currency
    balance: Money
    overdraft: bool
    status: AccountStatus
    owner_id: UUID | None
    created_at: datetime
    updated_at: datetime


class EntryOut(msgspec.Struct):
    id: UUID
    posting_id: UUID
    amount: Money
    balance: Money
    created_at: datetime


class StatementLine(EntryOut):
    """An entry with what its posting was: ``kind`` such as `transfer` or `opening`, the poster's ``reference``."""

    kind: Annotated[str, Meta(examples=["transfer"])]
    reference: Annotated[str, Meta(examples=["order-17"])] | None
    memo: Memo


class NewTransfer(Body):
    from_account_id: UUID
    to_account_id: ToAccount
    amount: Annotated[Money, Meta(gt=0, le=10**15)]
    memo: Memo = ""


class TransferOut(msgspec.Struct):
    id: UUID
    from_account_id: UUID
    to_account_id: ToAccount
    amount: Money
    currency: Currency
    memo: Memo
    created_at: datetime


# -- orders -----------------------------------------------------------------------------------------------------


class NewLine(Body):
    product_id: UUID
    quantity: Quantity = 1


class NewOrder(Body):
    customer_id: UUID
    lines: Annotated[list[NewLine], Meta(min_length=1, max_length=200)]
    note: Note = ""


class OrderBody(Body):
    status: OrderStatus
    note: Note = ""


class LineOut(msgspec.Struct):
    position: int
    product_id: UUID
    sku: Sku
    name: ProductName
    quantity: Quantity
    unit_price: Money
    total: Money


class OrderOut(msgspec.Struct):
    id: UUID
    customer_id: UUID
    status: OrderStatus
    currency: Currency
    total: Money
    note: Note
    owner_id: UUID | None
    completed_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


# -- reports ----------------------------------------------------------------------------------------------------


class ReportQuery(Body):
    since: Annotated[str, Meta(max_length=40, description="RFC 3339; from then on", examples=["2026-01-01T00:00:00Z"])]
    until: Annotated[str, Meta(max_length=40, description="RFC 3339; before then", examples=["2026-02-01T00:00:00Z"])]


class Revenue(msgspec.Struct):
    currency: Currency
    orders: int
    total: Money
    customers: int


class Sold(msgspec.Struct):
    product_id: UUID
    sku: Sku
    currency: Currency
    quantity: int
    total: Money


class SalesOut(msgspec.Struct):
    """``placed`` counts the orders placed in the interval by what became of them; the rest is of those completed."""

    since: datetime
    until: datetime
    placed: Annotated[dict[str, int], Meta(examples=[{"completed": 3, "placed": 1}])]
    revenue: list[Revenue]
    products: list[Sold]
