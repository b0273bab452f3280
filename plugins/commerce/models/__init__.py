"""The tables of commerce: who buys, what is sold, what was ordered, where money is."""

from __future__ import annotations

from plugins.commerce.models.catalogue import PRODUCT as PRODUCT, Product as Product
from plugins.commerce.models.customers import CUSTOMER as CUSTOMER, Customer as Customer
from plugins.commerce.models.ledger import (
    ACCOUNT as ACCOUNT,
    TRANSFER as TRANSFER,
    Account as Account,
    Entry as Entry,
    Posting as Posting,
    Transfer as Transfer,
)
from plugins.commerce.models.orders import ORDER as ORDER, Order as Order, OrderLine as OrderLine
