"""The tables of commerce: who buys, what is sold, what was ordered."""

from __future__ import annotations

from plugins.commerce.models.catalogue import PRODUCT as PRODUCT, Product as Product
from plugins.commerce.models.customers import CUSTOMER as CUSTOMER, Customer as Customer
from plugins.commerce.models.orders import ORDER as ORDER, Order as Order, OrderLine as OrderLine
