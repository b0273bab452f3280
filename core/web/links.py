"""Links of the OpenAPI document: what one reply tells that the next request wants.

They follow from the paths: whoever adds to ``/books``, or lists it, learns an ``id`` for everything under
``/books/{id}``; whoever reads ``/books/{id}`` learns the version that changing it asks for (``If-Match``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.web.schemas import Schema, resolve

_NAMES = re.compile(r"{(\w+)}")
IF_MATCH = "#/components/parameters/IfMatch"


def add_links(paths: dict[str, Schema], components: dict[str, Schema]) -> None:
    """Put them beside the successful replies of ``paths``."""
    for path, item in paths.items():
        for operation in (item[method] for method in ("get", "post") if method in item):
            for status in ("200", "201"):
                reply = operation["responses"].get(status)
                links = dict(_links(path, item, operation, reply, paths, components)) if reply else {}
                if links:
                    reply["links"] = links


def _links(
    path: str, item: Schema, operation: Schema, reply: Schema, paths: dict[str, Schema], components: dict[str, Schema]
) -> Iterator[tuple[str, Schema]]:
    given = {name: f"$request.path.{name}" for name in _NAMES.findall(path)}
    pointer = _id_in(reply, components)
    read = operation is item.get("get")
    for other, its in paths.items():
        wanted = _NAMES.findall(other)
        if read and given and wanted == list(given) and (other == path or other.startswith(f"{path}/")):
            found = given
        elif pointer and other.startswith(f"{path}/{{") and len(wanted) == len(given) + 1:
            found = {**given, wanted[-1]: f"$response.body#{pointer}"}
        else:
            continue
        for target in its.values():
            if target is operation:
                continue
            versioned = "ETag" in reply["headers"] and pointer == "/id"
            parameters = {f"path.{name}": value for name, value in found.items()}
            if versioned and {"$ref": IF_MATCH} in target.get("parameters", ()):
                parameters["header.If-Match"] = "$response.header.ETag"
            yield target["operationId"], {"operationId": target["operationId"], "parameters": parameters}


def _id_in(reply: Schema, components: dict[str, Schema]) -> str:
    """Where in the reply an id stands: its own, or that of the first item of a page."""
    schema = _body(reply, components)
    if "id" in schema.get("properties", {}):
        return "/id"
    items = schema.get("properties", {}).get("items", {}).get("items")
    return "/items/0/id" if items and "id" in resolve(items, components).get("properties", {}) else ""


def _body(reply: Schema, components: dict[str, Schema]) -> Schema:
    content = reply.get("content", {}).get("application/json", {})
    return resolve(content["schema"], components) if "schema" in content else {}
