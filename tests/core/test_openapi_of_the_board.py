"""The document of the board as it ships: every route that it serves, and no method that it does not."""

from __future__ import annotations

import re
from uuid import UUID

import schemathesis
from flask.testing import FlaskClient

from core.web.endpoint import Endpoint


def test_the_real_board_describes_every_route_it_serves(client: FlaskClient) -> None:
    app = client.application
    document = client.get("/openapi.json").get_json()
    schemathesis.openapi.from_dict(document).validate()
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if isinstance(view, Endpoint) and not view.pages and not rule.rule.startswith("/internal"):
            path = re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule)
            assert {method.lower() for method in view.methods} <= set(document["paths"][path])
    assert client.get("/docs").status_code == 200


def test_an_address_allows_no_more_than_it_documents(client: FlaskClient) -> None:
    # `POST /things/preview` beside `DELETE /things/<name>` would say of itself that it can be deleted.
    paths = client.get("/openapi.json").json["paths"]
    router = client.application.url_map.bind("localhost")
    for path, methods in paths.items():
        allowed = set(router.allowed_methods(re.sub(r"\{\w*id\}", str(UUID(int=1)), path)))
        assert allowed - {"HEAD", "OPTIONS"} <= {each.upper() for each in methods}, path
