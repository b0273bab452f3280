"""Links of the OpenAPI document: they lead where the board does, with what the next request asks for."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from core.web.openapi import document


@pytest.fixture(scope="module")
def whole(app: Flask) -> dict[str, Any]:
    with app.app_context():
        return document()


def links(whole: dict[str, Any], method: str, path: str, status: str) -> dict[str, Any]:
    """Name -> link, each from where it is kept."""
    found = whole["paths"][path][method]["responses"][status].get("links", {})
    kept = whole["components"]["links"]
    return {name: kept[link["$ref"].removeprefix("#/components/links/")] for name, link in found.items()}


def test_a_new_one_leads_to_all_that_can_be_done_with_it(whole: dict[str, Any]) -> None:
    made = links(whole, "post", "/api/commerce/customers", "201")
    actions = ("get", "replace", "patch", "delete", "restore")
    of_itself = {*(f"commerce_{action}_customer" for action in actions), "commerce_customer_history"}
    assert set(made) == {*of_itself, "commerce_create_order-customer_id"}
    assert made["commerce_patch_customer"] == {
        "operationId": "commerce_patch_customer",
        "parameters": {"path.id": "$response.body#/id", "header.If-Match": "$response.header.ETag"},
    }
    assert made["commerce_get_customer"]["parameters"] == {"path.id": "$response.body#/id"}


def test_what_is_made_leads_to_what_is_made_for_it(whole: dict[str, Any]) -> None:
    assert links(whole, "post", "/api/commerce/customers", "201")["commerce_create_order-customer_id"] == {
        "operationId": "commerce_create_order",
        "requestBody": {"customer_id": "$response.body#/id"},
    }
    opened = links(whole, "post", "/api/commerce/accounts", "201")
    for field in ("from_account_id", "to_account_id"):
        assert opened[f"commerce_create_transfer-{field}"]["requestBody"] == {field: "$response.body#/id"}


@pytest.mark.parametrize(
    ("method", "path", "pointer"),
    [
        ("get", "/api/commerce/products", "/items/0/id"),
        ("get", "/api/commerce/products/search", "/items/0/id"),
        ("post", "/api/commerce/products/bulk", "/results/0/id"),
    ],
)
def test_many_lead_to_the_first_of_them_and_to_reading_alone(
    whole: dict[str, Any], method: str, path: str, pointer: str
) -> None:
    """Of one among many no ETag is told, so that changing it begins with reading it."""
    listed = links(whole, method, path, "200")
    assert set(listed) == {"commerce_get_product", "commerce_product_history"}
    assert all(link["parameters"] == {"path.id": f"$response.body#{pointer}"} for link in listed.values())


@pytest.mark.parametrize(
    ("method", "path", "itself"),
    [
        ("get", "/api/commerce/customers/{id}", "get"),
        ("put", "/api/commerce/customers/{id}", "replace"),
        ("patch", "/api/commerce/customers/{id}", "patch"),
        ("post", "/api/commerce/customers/{id}/restore", "restore"),
    ],
)
def test_one_leads_to_its_changes_with_its_version(whole: dict[str, Any], method: str, path: str, itself: str) -> None:
    found = links(whole, method, path, "200")
    others = {"get", "replace", "patch", "delete", "restore"} - {itself}
    assert set(found) == {*(f"commerce_{action}_customer" for action in others), "commerce_customer_history"}
    for action in others & {"replace", "patch", "delete"}:
        assert found[f"commerce_{action}_customer"]["parameters"] == {
            "path.id": "$request.path.id",
            "header.If-Match": "$response.header.ETag",
        }


def test_a_deletion_leads_to_taking_it_back_and_an_import_to_how_it_stands(whole: dict[str, Any]) -> None:
    assert set(links(whole, "delete", "/api/commerce/customers/{id}", "204")) == {"commerce_restore_customer"}
    importing = "/api/commerce/customers/imports/{import_id}"
    assert set(links(whole, "put", importing, "200")) == {
        "commerce_get_customers_import",
        "commerce_customers_import_faults",
    }


def test_no_link_leads_to_what_a_resource_does_not_do(whole: dict[str, Any]) -> None:
    assert set(links(whole, "post", "/api/commerce/transfers", "201")) == {"commerce_get_transfer"}
    assert links(whole, "get", "/api/commerce/transfers/{id}", "200") == {}


def test_each_link_fits_the_operation_that_it_names(whole: dict[str, Any]) -> None:
    operations = {op["operationId"]: (path, op) for path, item in whole["paths"].items() for op in item.values()}
    shared = whole["components"]["parameters"]
    found = whole["components"]["links"]
    assert len(found) > 50
    for link in found.values():
        path, target = operations[link["operationId"]]
        given = link.get("parameters", {})
        if "requestBody" not in link:
            assert {name for name in given if name.startswith("path.")} == {
                f"path.{part[1:-1]}" for part in path.split("/") if part.startswith("{")
            }
        told = [shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in target["parameters"]]
        assert set(given) <= {f"{each['in']}.{each['name']}" for each in told}
