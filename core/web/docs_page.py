"""``/docs``: the OpenAPI document as one page to read, search and print, rendered here without any library's assets.

The page and what it loads come from this board alone, so it stands under the strict policy of all our pages.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, render_template, send_from_directory

from core.errors import CATALOGUE
from core.trust.permissions import public, tenantless
from core.web import openapi
from core.web.replies import etag_of, not_modified
from core.web.schemas import INT64, Schema, resolve

STATIC = Path(__file__).with_name("static")
METHODS = ("get", "head", "post", "put", "patch", "delete")
DEEPEST = 3
TOLD_ONCE = ("X-Tenant-ID",)  # in the introduction, not beside every route

_CODE = re.compile(r"`+([^`]+)`+")


def init_app(app: Flask) -> None:
    app.add_url_rule("/docs", "docs", docs)
    app.add_url_rule("/static/<path:filename>", "static", static)


@public
@tenantless
def docs() -> Response:
    kept: dict[str, str] = current_app.extensions.setdefault("pegboard.docs", {})
    if "page" not in kept:
        kept["page"] = render_template("docs.html", **view(openapi.document()))
    reply = Response(kept["page"], mimetype="text/html")
    reply.headers["ETag"] = etag_of(kept["page"].encode())
    return not_modified(reply)


@public
@tenantless
def static(filename: str) -> Response:
    """The stylesheet, script and icon of the board's pages; each visit asks whether they have changed."""
    return send_from_directory(STATIC, filename)


# -- from the document to what the page shows ---------------------------------------------------------------------


def view(document: Schema) -> dict[str, Any]:
    """What ``templates/docs.html`` wants: title, introduction, sections of operations and their places, the codes."""
    sections: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document.get("tags", ())}
    places: dict[str, str] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                shown = _operation(document, path, method, item[method])
                sections.setdefault(item[method]["tags"][0], []).append(shown)
                places[shown["id"]] = f"{method.upper()} {path}"
    return {
        "title": document["info"]["title"],
        "introduction": _paragraphs(document["info"].get("description", "")),
        "sections": [{"name": name, "operations": shown} for name, shown in sections.items() if shown],
        "places": places,
        "codes": sorted(CATALOGUE.values(), key=lambda code: code.name),
    }


def _operation(document: Schema, path: str, method: str, operation: Schema) -> dict[str, Any]:
    components = document["components"]["schemas"]
    leads: dict[str, None] = {}
    body = _media(operation.get("requestBody", {}))[1]
    replies, refusals = [], []
    for status, reply in operation["responses"].items():
        if "$ref" in reply:
            reply = document["components"]["responses"][reply["$ref"].rpartition("/")[2]]
        if int(status) >= 400:
            refusals.append({"status": status, "codes": reply.get("x-codes", [])})
            continue
        leads |= dict.fromkeys(_targets(document, reply))
        media, content = _media(reply)
        shown = list(_rows(content.get("schema", {}), components)) if media == "application/json" else []
        replies.append({"status": status, "text": reply["description"], "media": media, "fields": shown})
    parameters = [_resolved(document, parameter) for parameter in operation.get("parameters", ())]
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": _CODE.split(operation["summary"]),
        "description": _paragraphs(operation.get("description", "")),
        "deprecated": operation.get("deprecated", False),
        "access": operation["x-access"],
        "parameters": [_parameter(each, components) for each in parameters if each["name"] not in TOLD_ONCE],
        "body": list(_rows(body["schema"], components)) if body else [],
        "replies": replies,
        "leads": list(leads),
        "refusals": refusals,
        "curl": _curl(document["servers"][0]["url"], path, method, operation, parameters),
    }


def _targets(document: Schema, reply: Schema) -> Iterator[str]:
    """The operations that what is told here may be used for."""
    for link in reply.get("links", {}).values():
        yield document["components"]["links"][link["$ref"].rpartition("/")[2]]["operationId"]


def _media(holder: Schema) -> tuple[str, Schema]:
    return next(iter(holder.get("content", {}).items()), ("", {}))


def _resolved(document: Schema, parameter: Schema) -> Schema:
    if "$ref" in parameter:
        found: Schema = document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
        return found
    return parameter


def _paragraphs(text: str) -> list[list[str]]:
    """Prose from a docstring: blank lines part paragraphs, and every second piece of one, in backticks, is code."""
    return [_CODE.split(" ".join(part.split())) for part in text.split("\n\n") if part.strip()]


def _parameter(parameter: Schema, components: dict[str, Schema]) -> dict[str, Any]:
    schema = parameter["schema"]
    said = parameter.get("description", "")
    limits = "" if parameter["in"] == "header" else _limits(resolve(schema, components))
    return {
        "name": parameter["name"],
        "depth": 0,
        "required": parameter.get("required", False),
        "type": f"{_type(schema, components)}, in the {parameter['in']}",
        "text": " · ".join(filter(None, (said, limits))),
    }


def _rows(schema: Schema, components: dict[str, Schema], depth: int = 0) -> Iterator[dict[str, Any]]:
    """A row for each field of an object, of the items of a list, or of an object that may also be null."""
    schema = resolve(schema, components)
    options = [part for part in schema.get("anyOf", ()) if part.get("type") != "null"]
    if len(options) == 1:
        schema = resolve(options[0], components)
    if schema.get("type") == "array" and "items" in schema:
        schema = resolve(schema["items"], components)
    for name, part in schema.get("properties", {}).items():
        whole = resolve(part, components)
        yield {
            "name": name,
            "depth": depth,
            "required": name in schema.get("required", ()),
            "type": _type(part, components),
            "text": " · ".join(filter(None, (part.get("description", ""), _limits(whole)))),
        }
        if depth < DEEPEST:
            yield from _rows(part, components, depth + 1)


def _type(schema: Schema, components: dict[str, Schema]) -> str:
    """A type in words: ``list of Book``, ``string (uuid) or null``."""
    if "$ref" in schema:
        schema = resolve(schema, components)
        return str(schema.get("title", "object")) if "enum" not in schema else "one of a list"
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(_type(option, components) for option in options)
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema['items'], components)}" if isinstance(schema.get("items"), dict) else "list"
    if "enum" in schema:
        return "constant" if len(schema["enum"]) == 1 else "one of a list"
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind or "anything")


def _limits(schema: Schema) -> str:
    """What a value must keep to, in words; the bounds of 64 bits go without saying."""
    parts = []
    if "enum" in schema:
        parts.append(" | ".join(json.dumps(value) for value in schema["enum"]))
    for low, high, unit in (
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minimum", "maximum", ""),
    ):
        least, most = (None if schema.get(key) in INT64 else schema.get(key) for key in (low, high))
        if least is not None and most is not None:
            parts.append(f"{least} to {most}{unit}")
        elif least is not None or most is not None:
            parts.append(f"at least {least}{unit}" if least is not None else f"at most {most}{unit}")
    if "pattern" in schema:
        parts.append(f"pattern {schema['pattern']}")
    if schema.get("default") is not None:
        parts.append(f"default {json.dumps(schema['default'])}")
    return " · ".join(parts)


def _curl(server: str, path: str, method: str, operation: Schema, parameters: list[Schema]) -> str:
    """A command to paste into a shell; what the reader has to fill in stands in capitals."""
    query = "&".join(
        f"{parameter['name']}={parameter['name'].upper()}"
        for parameter in parameters
        if parameter["in"] == "query" and parameter.get("required")
    )
    for parameter in parameters:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["name"].upper())
    verb = "" if method == "get" else " --head" if method == "head" else f" -X {method.upper()}"
    lines = [f"curl{verb} {shlex.quote(server + path + (f'?{query}' if query else ''))}"]
    if operation.get("security"):
        lines.append('-H "Authorization: Bearer $TOKEN"')
    media, body = _media(operation.get("requestBody", {}))
    if "example" in body:
        lines.append(f"-H 'Content-Type: {media}'")
        lines.append(f"-d {shlex.quote(json.dumps(body['example'], ensure_ascii=False))}")
    return " \\\n  ".join(lines)
