"""Products by words: weights, marks, misspellings; and nothing in a mark but marks."""

from __future__ import annotations

from typing import Any

import pytest
from shop import Shop

PRODUCTS = (
    ("TEA-1", "Green tea", "Leaves from the hills, for quiet mornings"),
    ("CUP-1", "Cup", "For drinking green tea and other things"),
    ("POT-1", "Teapot <b>large</b>", "Holds a litre & more; do not use for <script>alert(1)</script>"),
    ("OLD-1", "Green tea of last year", ""),
)


@pytest.fixture
def shop(admin: Shop) -> Shop:
    for sku, name, description in PRODUCTS:
        body = {"sku": sku, "name": name, "description": description, "price": 500, "currency": "EUR"}
        assert admin.post("/products", {**body, "status": "retired" if sku == "OLD-1" else "active"}).status_code == 201
    return admin


def found(shop: Shop, q: str) -> Any:
    return shop.get("/products/search", q=q).json


def test_a_name_counts_for_more_than_a_description(shop: Shop) -> None:
    told = found(shop, "green teas")
    assert ([each["sku"] for each in told["items"]], told["alike"]) == (["TEA-1", "CUP-1"], False)
    assert told["items"][0]["rank"] > told["items"][1]["rank"]
    assert told["items"][0]["highlight"].startswith("<mark>Green</mark> <mark>tea</mark>")


@pytest.mark.parametrize(
    ("q", "skus"),
    [
        ('"quiet mornings"', ["TEA-1"]),
        ("tea -cup", ["TEA-1"]),
        ("cup or hill", ["CUP-1", "TEA-1"]),
        ("TEA-1", ["TEA-1"]),
        ("zzzzzz", []),
    ],
)
def test_words_as_in_a_web_search(shop: Shop, q: str, skus: list[str]) -> None:
    assert sorted(each["sku"] for each in found(shop, q)["items"]) == sorted(skus)


def test_a_misspelt_name_finds_what_is_spelt_alike(shop: Shop) -> None:
    told = found(shop, "teepot")
    assert (told["items"][0]["sku"], told["alike"]) == ("POT-1", True)


def test_a_highlight_has_no_tags_but_its_own(shop: Shop) -> None:
    for q in ("litre", "teepot"):
        marked = found(shop, q)["items"][0]["highlight"]
        assert "<script" not in marked and "<b>" not in marked, marked
    assert "<mark>litre</mark> &amp; more" in found(shop, "litre")["items"][0]["highlight"]


def test_who_reads_products_may_search(shop: Shop, alice: Shop) -> None:
    assert len(found(alice, "tea")["items"]) == 2
    assert alice.get("/products/search").status_code == 422
    assert shop.client.get("/api/commerce/products/search?q=tea").status_code == 401
