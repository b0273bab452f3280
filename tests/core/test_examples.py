"""Examples of the OpenAPI document: each body and reply has one, which fits its schema and says something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from jsonschema_rs import Draft202012Validator

from core.web.openapi import document
from core.web.schemas import sample


@pytest.fixture(scope="module")
def whole(app: Flask) -> dict[str, Any]:
    with app.app_context():
        return document()


def told(whole: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every body and reply in JSON: where it stands, the path, the media type with schema and example."""
    for path, item in whole["paths"].items():
        for method, op in item.items():
            for what, each in [("body", op.get("requestBody", {})), *op["responses"].items()]:
                for kind, media in each.get("content", {}).items():
                    if "json" in kind and media.get("schema", {}) not in ({}, {"type": "string"}):
                        yield f"{method} {path} {what}", path, media


def test_every_example_fits_its_schema_and_none_is_lacking(whole: dict[str, Any]) -> None:
    found = [(where, media) for where, path, media in told(whole) if path.startswith("/api/")]
    assert len([where for where, _ in found if "/api/commerce/" in where]) > 50
    assert [where for where, media in found if "example" not in media] == []
    for where, media in found:
        rooted = {**media["schema"], "components": whole["components"]}
        faults = [fault.message for fault in Draft202012Validator(rooted).iter_errors(media["example"])]
        assert not faults, f"{where}: {faults}"


def test_the_examples_of_resources_say_something(whole: dict[str, Any]) -> None:
    """Where a text has no example of its own, "text" stands in: of no use to people."""
    found = {where: json.dumps(media["example"]) for where, path, media in told(whole) if "/api/commerce/" in path}
    assert [where for where, example in found.items() if '"text"' in example] == []
    assert '"name": "Alice", "email": "alice@example.com"' in found["get /api/commerce/customers 200"]
    assert '"next": null' in found["get /api/commerce/customers 200"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"enum": ["closed", "open"], "default": "open"}, "open"),
        ({"enum": ["closed", "open"], "examples": ["open"]}, "open"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, None),
        ({"anyOf": [{"type": "string", "examples": ["Emma"]}, {"type": "null"}]}, "Emma"),
        ({"type": "integer", "default": 20, "examples": [5]}, 5),
    ],
)
def test_an_example_is_its_own_or_the_default_or_the_plainest(schema: dict[str, Any], expected: Any) -> None:
    assert sample(schema, {}) == expected
