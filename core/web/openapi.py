"""``/openapi.json``: OpenAPI 3.1 of every mounted route, made from the views' signatures and marks.

What a signature cannot say, a view's author adds: ``@refuses(CODE, …)`` for the codes of its own rules, and
``@produces("text/csv")`` where it replies with a ``Response``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from flask import Flask, Response, current_app
from werkzeug.routing import Rule

from core.config import BoardSettings
from core.errors import BootError, Code
from core.trust.permissions import marks_of, public, tenantless
from core.web import board_paths, operations
from core.web.endpoint import Endpoint
from core.web.links import Links
from core.web.replies import Problem, etag_of, not_modified
from core.web.schemas import PREFIX, Schema, describe

F = TypeVar("F", bound=Callable[..., Any])

DESCRIPTION = """\
Send and expect JSON. Sign in with `POST /api/auth/login` and send the access token as `Authorization: Bearer …`.
Browsers may keep it in a cookie instead; whatever changes something then wants `X-CSRF-Token` beside it.

Lists reply `{"items": […], "next": …}`; pass `next` as `cursor` for the page after. Errors are problem documents
(RFC 9457) with a stable `code`. A POST that is sent with an `Idempotency-Key` may be repeated safely.

The tenant follows from the host or the token; where neither says it, name it in `X-Tenant-ID`, by id or slug.
"""
_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([A-Za-z_]\w*)>")


def refuses(*codes: Code) -> Callable[[F], F]:
    """The view's own rules refuse with these codes; what every such route may answer need not be named."""
    for code in codes:
        if not isinstance(code, Code):
            raise BootError(f"@refuses names {code!r}, which is no error code; give what core.errors.declare answers")

    def mark(function: F) -> F:
        marks_of(function).notes.setdefault("refuses", []).extend(codes)
        return function

    return mark


def produces(*media: str) -> Callable[[F], F]:
    """The content types of a view that replies with a ``Response``."""

    def mark(function: F) -> F:
        marks_of(function).notes["produces"] = media
        return function

    return mark


def init_app(app: Flask) -> None:
    from core.web import docs_page

    app.add_url_rule("/openapi.json", "openapi", serve)
    docs_page.init_app(app)


def document() -> Schema:
    """The running board's document, made once."""
    made: Schema | None = current_app.extensions.get("pegboard.openapi")
    if made is None:
        made = current_app.extensions["pegboard.openapi"] = build(current_app._get_current_object())  # type: ignore[attr-defined]
    return made


@public
@tenantless
def serve() -> Response:
    kept: bytes | None = current_app.extensions.get("pegboard.openapi_json")
    if kept is None:
        kept = current_app.extensions["pegboard.openapi_json"] = msgspec.json.encode(document())
    return not_modified(Response(kept, content_type="application/json", headers={"ETag": etag_of(kept)}))


def build(app: Flask) -> Schema:
    """The document of a board whose plugins are mounted."""
    settings: BoardSettings = app.extensions["pegboard.settings"]
    mounted = list(_mounted(app))
    schema_of, components = _schemas(endpoint for _, endpoint in mounted)
    responses = operations.Responses()
    paths: dict[str, Schema] = {}
    names: set[str] = set()
    kinds: dict[str, str] = {}
    for rule, endpoint in mounted:
        item = paths.setdefault(_PARAMETER.sub(r"{\1}", rule.rule), {})
        for method in endpoint.methods:
            made = operations.describe(endpoint, method, responses, schema_of, components)
            made["operationId"] = _unused(rule.endpoint.replace(".", "_"), method, names)
            item[method.lower()] = made
            if kind := endpoint.marks.notes.get("makes"):
                kinds[made["operationId"]] = kind
    links = Links(paths, components, kinds)
    links.add()
    paths |= board_paths.board_paths(responses, schema_of)
    made = {
        "openapi": "3.1.0",
        "info": {"title": "Pegboard", "version": _version(), "description": DESCRIPTION},
        "servers": [{"url": settings.api_url.rstrip("/")}],
        "tags": [
            {"name": tag} for tag in dict.fromkeys(op["tags"][0] for item in paths.values() for op in item.values())
        ],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": responses.shared,
            "parameters": operations.PARAMETERS,
            "headers": operations.HEADERS,
            "links": links.shared,
            "securitySchemes": operations.schemes(settings),
        },
    }
    _prune(made)
    return made


def _mounted(app: Flask) -> Iterator[tuple[Rule, Endpoint]]:
    """Every rule of the API, by plugin and then as its author wrote them; no pages, and nothing under ``/internal``."""
    found = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if isinstance(view, Endpoint) and not view.pages and not rule.rule.startswith("/internal"):
            found.append((rule, view))
    order = {plugin: index for index, plugin in enumerate(dict.fromkeys(view.plugin for _, view in found))}
    return iter(sorted(found, key=lambda pair: order[pair[1].plugin]))


def _schemas(endpoints: Iterable[Endpoint]) -> tuple[operations.SchemaOf, dict[str, Schema]]:
    kinds: list[Any] = [Problem, UUID, str, *board_paths.TYPES]
    for endpoint in endpoints:
        kinds += (kind for _, kind in _kinds(endpoint))
    schemas, components = describe(kinds)

    def schema_of(kind: Any) -> Schema:
        return dict(schemas[kinds.index(kind)])

    return schema_of, components


def _kinds(endpoint: Endpoint) -> list[tuple[str, Any]]:
    """Every type that goes over the wire at this endpoint, with what it is there."""
    signature = endpoint.signature
    told = [("query", signature.query), ("body", signature.body), ("reply", signature.reply)]
    told += (("reply", kind) for kind in signature.others.values())
    told += ((f"path parameter {name}", kind) for name, kind in signature.path.items())
    return [(what, kind) for what, kind in told if kind is not None]


def faults(app: Flask) -> list[str]:
    """Why the document cannot be made: one route whose types no schema describes would keep it from everybody."""
    try:
        build(app)
        return []
    except Exception as exc:
        found = [fault for _, endpoint in _mounted(app) for fault in _undescribed(endpoint)]
        return found or [f"the OpenAPI document cannot be made: {type(exc).__name__}: {exc}"]


def _undescribed(endpoint: Endpoint) -> Iterator[str]:
    for what, kind in _kinds(endpoint):
        try:
            describe([kind])
        except Exception as exc:
            told = str(exc).partition(" - type")[0].partition("\n")[0]
            why = "" if told.startswith("Generating JSON schema") else f" ({told})"
            yield (
                f"plugin {endpoint.plugin}: {endpoint.name}: its {what} is {kind!r}, which no schema describes{why},"
                " so /openapi.json could not be made; say a Body, or a plain type"
            )


def _unused(name: str, method: str, names: set[str]) -> str:
    """``name``, with the method or a number where it is taken."""
    for candidate in (name, f"{name}_{method.lower()}", *(f"{name}_{number}" for number in range(2, 1000))):
        if candidate not in names:
            names.add(candidate)
            return candidate
    raise ValueError(f"too many routes share the name {name}")


def _prune(made: Schema) -> None:
    """Leave out schemas that nothing refers to: those of query strings have become parameters."""
    schemas = made["components"]["schemas"]
    before = -1
    while before != len(schemas):
        before = len(schemas)
        text = msgspec.json.encode(made).decode()
        for name in [name for name in schemas if f'"{PREFIX}{name}"' not in text]:
            del schemas[name]


def _version() -> str:
    try:
        return version("pegboard")
    except PackageNotFoundError:
        return "0"
