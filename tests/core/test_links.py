"""Links and examples of the OpenAPI document: they lead where the board does, and fit their own schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from jsonschema_rs import Draft202012Validator

from core.web.openapi import document


@pytest.fixture(scope="module")
def whole(app: Flask) -> dict[str, Any]:
    with app.app_context():
        return document()


def links(whole: dict[str, Any], method: str, path: str, status: str) -> dict[str, Any]:
    found: dict[str, Any] = whole["paths"][path][method]["responses"][status].get("links", {})
    return found


def test_a_new_one_leads_to_all_that_can_be_done_with_it(whole: dict[str, Any]) -> None:
    made = links(whole, "post", "/api/commerce/customers", "201")
    actions = ("get", "replace", "patch", "delete", "restore")
    assert set(made) == {*(f"commerce_{action}_customer" for action in actions), "commerce_customer_history"}
    assert made["commerce_patch_customer"] == {
        "operationId": "commerce_patch_customer",
        "parameters": {"path.id": "$response.body#/id", "header.If-Match": "$response.header.ETag"},
    }
    assert made["commerce_get_customer"]["parameters"] == {"path.id": "$response.body#/id"}


def test_a_page_leads_to_its_first_item_and_one_to_its_changes(whole: dict[str, Any]) -> None:
    listed = links(whole, "get", "/api/commerce/customers", "200")
    assert listed["commerce_get_customer"]["parameters"] == {"path.id": "$response.body#/items/0/id"}
    read = links(whole, "get", "/api/commerce/customers/{id}", "200")
    assert "commerce_get_customer" not in read
    assert read["commerce_replace_customer"]["parameters"] == {
        "path.id": "$request.path.id",
        "header.If-Match": "$response.header.ETag",
    }


def test_links_name_what_is_there_and_no_path_is_left_open(whole: dict[str, Any]) -> None:
    operations = {op["operationId"]: path for path, item in whole["paths"].items() for op in item.values()}
    found = [
        link
        for item in whole["paths"].values()
        for op in item.values()
        for reply in op["responses"].values()
        for link in reply.get("links", {}).values()
    ]
    assert len(found) > 50
    for link in found:
        path = operations[link["operationId"]]
        given = {name.removeprefix("path.") for name in link["parameters"] if name.startswith("path.")}
        assert given == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def examples(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    for path, item in whole["paths"].items():
        for method, op in item.items():
            said = [op.get("requestBody", {}), *op["responses"].values()]
            for media in [media for each in said for media in each.get("content", {}).values()]:
                if "example" in media:
                    yield f"{method} {path}", media["schema"], media["example"]


def test_every_example_fits_its_schema(whole: dict[str, Any]) -> None:
    told = list(examples(whole))
    assert len([where for where, _, _ in told if "/api/commerce/customers" in where]) >= 8
    for where, schema, example in told:
        rooted = {**schema, "components": whole["components"]}
        faults = [fault.message for fault in Draft202012Validator(rooted).iter_errors(example)]
        assert not faults, f"{where}: {faults}"
