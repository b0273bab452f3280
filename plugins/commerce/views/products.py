"""Products, and finding them."""

from __future__ import annotations

from core.trust import requires
from core.web import Resource
from plugins.commerce.models import PRODUCT
from plugins.commerce.schemas import ProductBody, ProductOut, ProductSearch, SearchResult
from plugins.commerce.services.search import search
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


@routes.get("/products/search")
@requires("products:read")
def search_products(query: ProductSearch) -> SearchResult:
    """Find products for sale by words in name, number and description, or by a name that is spelt alike."""
    return search(query)
