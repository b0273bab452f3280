"""Products."""

from __future__ import annotations

from core.web import Resource
from plugins.commerce.models import PRODUCT
from plugins.commerce.schemas import ProductBody, ProductOut
from plugins.commerce.views.routes import routes

products = Resource(
    routes,
    "/products",
    PRODUCT,
    out=ProductOut,
    body=ProductBody,
    filters=("status", "sku", "price", "currency", "tags", "created_at"),
    sorts=("-created_at", "name", "price"),
    search=("search_vector", "english"),
)
