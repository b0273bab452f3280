"""The OpenAPI document and the page made of it: whole, valid, true to the signatures and marks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from flask import Flask, Response
from msgspec import Meta
from small_board import small_board

from core.errors import CATALOGUE, NOT_IMPLEMENTED, BootError
from core.registry.discovery import Registry
from core.trust.permissions import public, requires, signed_in, tenantless
from core.web import docs_page, health, openapi
from core.web.bodies import Body
from core.web.endpoint import Endpoint
from core.web.openapi import produces, refuses
from core.web.pages import PageQuery
from core.web.replies import Accepted, Created, Page, if_match
from core.web.routes import Routes
from core.web.schemas import sample

ROOT = Path(__file__).resolve().parents[2]

Title = Annotated[str, Meta(min_length=1, max_length=200, examples=["Middlemarch"], description="As on the cover")]


class Line(Body):
    product_id: UUID
    amount: Annotated[int, Meta(ge=1, le=1000)] = 1


class NewOrder(Body):
    title: Title
    state: Literal["draft", "ready"] = "draft"
    lines: list[Line]
    due: datetime | None = None
    at: Annotated[datetime, Meta(tz=True)]
    count: int
    extra: dict[str, Any] = {}


class Node(msgspec.Struct):
    """A tree."""

    id: UUID
    made: datetime
    parts: list[Node]


class OrderQuery(PageQuery):
    state: Literal["draft", "ready"] | None = None
    tag: list[str] = []
    least: int | None = None


def routes() -> Routes:
    made = Routes(__name__)

    @made.get("/orders")
    @requires("users:read")
    def orders(query: OrderQuery) -> Page[Node]:
        """The orders, newest first.

        Send `state` to see
        only some.
        """
        raise NotImplementedError

    @made.post("/orders")
    @signed_in
    @refuses(NOT_IMPLEMENTED)
    def add_order(body: NewOrder) -> Created[Node]:
        """Order something."""
        raise NotImplementedError

    @made.patch("/orders/<uuid:order_id>")
    @requires("users:write", id="order_id")
    def change(order_id: UUID, body: Line) -> Node:
        if_match(3)
        raise NotImplementedError

    @made.delete("/orders/<uuid:order_id>")
    @requires("users:write", id="order_id")
    def drop(order_id: UUID) -> None:
        """Take it back."""

    @made.post("/export/<int:year>/<kind>")
    @public
    @tenantless
    def export(year: int, kind: str) -> Accepted[list[int]]:
        raise NotImplementedError

    @made.get("/file")
    @public
    @produces("text/csv")
    def file() -> Response:
        raise NotImplementedError

    return made


@pytest.fixture(scope="module")
def board() -> Flask:
    with pytest.MonkeyPatch.context() as patch:
        # As create_app() makes it: the root's templates, and /static left to the page's room.
        patch.setattr("small_board.Flask", partial(Flask, root_path=str(ROOT), static_folder=None))
        app = small_board(routes(), api_url="https://api.board.test/")
    app.extensions["pegboard.registry"] = Registry([])
    health.init_app(app)
    openapi.init_app(app)
    return app


@pytest.fixture(scope="module")
def document(board: Flask) -> dict[str, Any]:
    found = board.test_client().get("/openapi.json")
    assert (found.status_code, found.mimetype) == (200, "application/json")
    return found.get_json()  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def responses(document: dict[str, Any], path: str, method: str) -> dict[str, dict[str, Any]]:
    found = document["paths"][path][method]["responses"]
    shared = document["components"]["responses"]
    return {
        status: shared[reply["$ref"].rpartition("/")[2]] if "$ref" in reply else reply
        for status, reply in found.items()
    }


# -- the document -----------------------------------------------------------------------------------------------


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    import schemathesis

    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def test_every_reference_leads_somewhere_and_every_schema_is_referred_to(document: dict[str, Any]) -> None:
    found = set(references(document))
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    assert {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} <= found
    assert "OrderQuery" not in document["components"]["schemas"]


def test_operations_are_named_once_by_plugin_and_function(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    assert {"small_orders", "small_add_order", "small_change", "board_readyz"} <= set(names)
    assert document["paths"]["/api/small/orders"]["get"]["tags"] == ["small"]


def test_every_operation_may_answer_413_429_503_unless_it_is_the_boards_own(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if operation["tags"] != ["board"]:
            assert {"400", "413", "429", "503"} <= set(operation["responses"]), (path, method)
            assert responses(document, path, method)["429"]["headers"]["Retry-After"]


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/api/small/orders", "get", {"200", "400", "401", "403", "404", "413", "414", "422", "429", "503"}),
        (
            "/api/small/orders",
            "post",
            {"201", "400", "401", "403", "404", "409", "413", "415", "422", "429", "501", "503"},
        ),
        (
            "/api/small/orders/{order_id}",
            "delete",
            {"204", "400", "401", "403", "404", "409", "413", "429", "503"},
        ),
        (
            "/api/small/orders/{order_id}",
            "patch",
            {"200", "400", "401", "403", "404", "409", "412", "413", "415", "422", "428", "429", "503"},
        ),
        ("/api/small/export/{year}/{kind}", "post", {"202", "400", "404", "409", "413", "429", "503"}),
        ("/api/small/file", "get", {"200", "400", "403", "404", "413", "429", "503"}),
        ("/readyz", "get", {"200", "400", "503"}),
        ("/livez", "get", {"200", "400"}),
    ],
)
def test_the_statuses_that_apply_are_declared(
    document: dict[str, Any], path: str, method: str, expected: set[str]
) -> None:
    assert set(responses(document, path, method)) == expected


def test_refusals_name_their_codes(document: dict[str, Any]) -> None:
    found = responses(document, "/api/small/orders", "post")
    assert found["501"]["x-codes"] == ["NOT_IMPLEMENTED"]
    assert found["401"]["x-codes"] == ["TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_MISSING"]
    assert "IDEMPOTENCY_KEY_REUSED" in found["422"]["x-codes"]
    assert "INVALID_CURSOR" in responses(document, "/api/small/orders", "get")["400"]["x-codes"]
    for reply in document["components"]["responses"].values():
        content = reply["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert set(reply["x-codes"]) <= set(CATALOGUE)


def test_success_has_its_schema_and_headers(document: dict[str, Any]) -> None:
    created = responses(document, "/api/small/orders", "post")["201"]
    assert created["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Node"}
    assert created["headers"]["Location"] == {"$ref": "#/components/headers/LocationRequired"}
    assert "content" not in responses(document, "/api/small/orders/{order_id}", "delete")["204"]
    accepted = responses(document, "/api/small/export/{year}/{kind}", "post")["202"]
    assert accepted["content"]["application/json"]["schema"]["items"]["type"] == "integer"
    assert list(responses(document, "/api/small/file", "get")["200"]["content"]) == ["text/csv"]


def test_who_may_call_is_told(document: dict[str, Any]) -> None:
    paths = document["paths"]
    assert paths["/api/small/orders"]["get"]["security"] == [{"bearer": []}, {"cookie": []}]
    assert paths["/api/small/orders"]["post"]["security"] == [{"bearer": []}, {"cookie": [], "csrf": []}]
    assert paths["/api/small/orders"]["get"]["x-access"] == "needs users:read"
    assert paths["/api/small/orders/{order_id}"]["patch"]["x-access"] == "needs users:write on order_id"
    assert "security" not in paths["/api/small/file"]["get"]
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert [schemes["cookie"][key] for key in ("type", "in", "name")] == ["apiKey", "cookie", "__Host-pb_access"]
    assert [schemes["csrf"][key] for key in ("type", "in", "name")] == ["apiKey", "header", "X-CSRF-Token"]
    bare = openapi.build(small_board(routes()))["components"]["securitySchemes"]
    assert bare["cookie"]["name"] == "pb_access", "in development over http"


def test_a_forged_request_is_declared_where_one_can_be(document: dict[str, Any]) -> None:
    for path, method, told in (
        ("/api/small/orders", "post", True),
        ("/api/small/orders/{order_id}", "delete", True),
        ("/api/small/orders", "get", False),
        ("/api/small/export/{year}/{kind}", "post", False),
    ):
        refusal = responses(document, path, method).get("403", {"x-codes": []})
        assert ("CSRF_FAILED" in refusal["x-codes"]) is told, (path, method)


def test_parameters_come_from_path_query_and_habit(document: dict[str, Any]) -> None:
    listed = document["paths"]["/api/small/orders"]["get"]["parameters"]
    by_name = {parameter.get("name", parameter.get("$ref")): parameter for parameter in listed}
    assert by_name["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    assert by_name["cursor"]["schema"] == {"type": "string"}
    assert by_name["state"]["schema"] == {"enum": ["draft", "ready"]}
    assert by_name["tag"]["schema"]["items"] == {"type": "string"}
    assert by_name["least"]["schema"] == {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    assert "#/components/parameters/TenantID" in by_name
    posted = document["paths"]["/api/small/orders"]["post"]["parameters"]
    assert {"$ref": "#/components/parameters/IdempotencyKey"} in posted
    (order_id, *_), *_ = [document["paths"]["/api/small/orders/{order_id}"]["patch"]["parameters"]]
    assert order_id == {
        "name": "order_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    }
    patched = document["paths"]["/api/small/orders/{order_id}"]["patch"]["parameters"]
    assert {"$ref": "#/components/parameters/IfMatch"} in patched
    deleted = document["paths"]["/api/small/orders/{order_id}"]["delete"]["parameters"]
    assert {"$ref": "#/components/parameters/IfMatch"} not in deleted, "that view does not heed it"
    exported = document["paths"]["/api/small/export/{year}/{kind}"]["post"]["parameters"]
    assert [parameter["name"] for parameter in exported] == ["year", "kind"], "a tenantless route asks for no tenant"


def test_times_and_integers_are_told_as_they_are(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Node"]["properties"]["made"] == {"type": "string", "format": "date-time"}
    assert {"type": "string", "format": "date-time"} in schemas["NewOrder"]["properties"]["due"]["anyOf"]
    assert schemas["NewOrder"]["properties"]["count"]["maximum"] == 2**63 - 1
    assert schemas["Line"]["properties"]["amount"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1}
    assert schemas["NewOrder"]["additionalProperties"] is False


def test_every_example_of_a_body_is_acceptable(board: Flask, document: dict[str, Any]) -> None:
    checked = 0
    for rule in board.url_map.iter_rules():
        view = board.view_functions[rule.endpoint]
        if isinstance(view, Endpoint) and view.signature.body is not None:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            for method in view.methods:
                body = document["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]
                view.signature.parse_body(json.dumps(body["example"]).encode())
                checked += 1
    assert checked == 2


def test_an_example_of_a_type_that_contains_itself_ends(document: dict[str, Any]) -> None:
    found = sample({"$ref": "#/components/schemas/Node"}, document["components"]["schemas"])
    assert found["parts"][0]["parts"]
    msgspec.convert(found, Node)


def test_it_is_made_once_and_revalidated(board: Flask) -> None:
    client = board.test_client()
    first = client.get("/openapi.json")
    again = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    with board.app_context():
        assert openapi.document() is openapi.document()


# -- the page ---------------------------------------------------------------------------------------------------


def test_the_page_shows_routes_schemas_and_codes(board: Flask) -> None:
    reply = board.test_client().get("/docs")
    assert (reply.status_code, reply.mimetype) == (200, "text/html")
    text = reply.text
    for wanted in ("/api/small/orders", "Order something", "As on the cover", "needs users:read", 'id="TOKEN_EXPIRED"'):
        assert wanted in text
    assert "<code>state</code> to see only some." in text
    assert all(f'id="{name}"' in text for name in CATALOGUE)
    again = board.test_client().get("/docs", headers={"If-None-Match": reply.headers["ETag"]})
    assert again.status_code == 304


def test_the_page_leads_on_from_what_tells_an_id(board: Flask) -> None:
    made = re.search(
        r'<details class="operation" id="small_add_order">(.*?)</details>', board.test_client().get("/docs").text, re.S
    )
    assert made is not None
    assert '<a href="#small_drop"><code>DELETE /api/small/orders/{order_id}</code></a>' in made[1]


def test_the_page_keeps_its_own_policy(board: Flask) -> None:
    """Nothing inline, nothing from elsewhere: what the page loads is there, and of the right type."""
    client = board.test_client()
    reply = client.get("/docs")
    policy = reply.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", reply.text)
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', reply.text)
    assert len(set(loaded)) == 3
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for path in loaded:
        asset = client.get(path)
        assert (asset.status_code, asset.mimetype) == (200, types[path.rpartition(".")[2]])
        assert asset.headers["Cache-Control"] == "no-cache"
        asset.close()
    assert not re.search(r'(?:src|href)="(?:https?:)?//', reply.text)


def test_words_of_authors_are_escaped(board: Flask) -> None:
    document = openapi.build(board)
    operation = document["paths"]["/api/small/orders"]["get"]
    operation["summary"], operation["description"] = "<script>alert(1)</script>", "`<b>` & <i>"
    with board.test_request_context():
        from flask import render_template

        text = render_template("docs.html", **docs_page.view(document))
    assert "<script>alert" not in text
    assert "<code>&lt;b&gt;</code> &amp; &lt;i&gt;" in text


@pytest.mark.parametrize("path", ["/static/../openapi.py", "/static/%2e%2e/edge.py", "/static/nothing.css", "/static/"])
def test_only_assets_are_served(board: Flask, path: str) -> None:
    assert board.test_client().get(path).status_code == 404


def test_a_curl_example_is_one_command_in_a_shell(document: dict[str, Any], tmp_path: Path) -> None:
    shown = docs_page.view(document)
    section = next(section for section in shown["sections"] if section["name"] == "small")
    (order,) = [operation for operation in section["operations"] if operation["id"] == "small_add_order"]
    script = f'curl() {{ printf "%s\\n" "$@"; }}\n{order["curl"]}'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[:3] == ["-X", "POST", "https://api.board.test/api/small/orders"]
    assert json.loads(said[-1])["title"] == "Middlemarch"


# -- the list of codes ------------------------------------------------------------------------------------------------


def test_docs_errors_md_is_what_the_catalogue_says() -> None:
    """In a process of its own, which knows only the plugins that are installed."""
    found = subprocess.run(
        [sys.executable, "-m", "core.ops.error_docs", "--check"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr


def test_a_code_that_is_none_is_refused_as_it_is_written() -> None:
    with pytest.raises(BootError, match="@refuses names 'NOT_FOUND', which is no error code; give what"):
        refuses("NOT_FOUND")  # type: ignore[arg-type]
