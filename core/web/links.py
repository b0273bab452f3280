"""Links of the OpenAPI document: what one reply tells that the next request wants.

They follow from the paths. Whoever adds to ``/books`` learns the id of everything under ``/books/{id}``, whoever lists
them an id to read; whoever reads or changes ``/books/{id}`` learns the version that the next change asks for
(``If-Match``). And what a resource makes, say a ``reader``, leads to each POST whose body has a ``reader_id``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from core.web.schemas import Schema, resolve

PREFIX = "#/components/links/"

_NAMES = re.compile(r"{(\w+)}")
_IF_MATCH = tuple({"$ref": f"#/components/parameters/{name}"} for name in ("IfMatch", "IfMatchRequired"))
_ITS_OWN = "/id"
_FIRST_OF_MANY = (("items", "/items/0/id"), ("results", "/results/0/id"))

Link = tuple[str, Schema]


class Links:
    """Each link once, in ``shared``, and a reference to it beside every reply that tells it.

    ``made``: operation id -> the kind of what the operation makes.
    """

    def __init__(self, paths: dict[str, Schema], components: dict[str, Schema], made: Mapping[str, str]) -> None:
        self.paths = paths
        self.components = components
        self.made = made
        self.shared: dict[str, Schema] = {}

    def add(self) -> None:
        """Put them beside the successful replies."""
        for path, item in self.paths.items():
            for method, operation in item.items():
                for status in ("200", "201", "204"):
                    reply = operation["responses"].get(status)
                    links = {} if reply is None else dict(self._of(path, method, status, reply, operation))
                    if links:
                        reply["links"] = {name: {"$ref": self._kept(name, link)} for name, link in links.items()}

    def _of(self, path: str, method: str, status: str, reply: Schema, operation: Schema) -> Iterator[Link]:
        given = {f"path.{name}": f"$request.path.{name}" for name in _NAMES.findall(path)}
        pointer = self._id_in(reply)
        versioned = pointer == _ITS_OWN and "ETag" in reply["headers"]
        if method == "delete":
            yield from self._to(f"{path}/restore", given, operation)
        elif given and (path.endswith("}") or (method == "post" and status == "200" and pointer == _ITS_OWN)):
            own = path[: path.rindex("}") + 1]  # of `/books/{id}/restore` the book itself
            for other in self.paths:
                if other == own or (other.startswith(f"{own}/") and len(_NAMES.findall(other)) == len(given)):
                    yield from self._to(other, given, operation, versioned=versioned)
        elif pointer:
            for other, name in self._under(path, len(given)):
                known = {**given, f"path.{name}": f"$response.body#{pointer}"}
                yield from self._to(other, known, operation, versioned=versioned, reading=pointer != _ITS_OWN)
            if kind := self.made.get(operation["operationId"]):
                yield from self._wanting(kind)

    def _under(self, path: str, given: int) -> Iterator[tuple[str, str]]:
        """The paths of one item of this list, or of the list that ``…/search`` or ``…/bulk`` belongs to."""
        for collection in (path, path.rpartition("/")[0]):
            names = {other: _NAMES.findall(other) for other in self.paths if other.startswith(f"{collection}/{{")}
            found = [(other, wanted[-1]) for other, wanted in names.items() if len(wanted) == given + 1]
            if found:
                yield from found
                return

    def _to(
        self, path: str, given: Schema, operation: Schema, *, versioned: bool = False, reading: bool = False
    ) -> Iterator[Link]:
        """To each operation of a path but this one; only to GET where ``reading``: no version is known to change."""
        for method, target in self.paths.get(path, {}).items():
            if target is operation or (reading and method != "get"):
                continue
            parameters = dict(given)
            if versioned and any(each in _IF_MATCH for each in target.get("parameters", ())):
                parameters["header.If-Match"] = "$response.header.ETag"
            yield target["operationId"], {"operationId": target["operationId"], "parameters": parameters}

    def _wanting(self, kind: str) -> Iterator[Link]:
        """To whatever is made for one of this kind: ``reader_id``, or ``from_reader_id``, of its body is the new id."""
        for item in self.paths.values():
            target: Schema = item.get("post", {})
            for field in self._body(target.get("requestBody", {})).get("properties", {}):
                if f"_{field}".endswith(f"_{kind}_id"):
                    body = {field: f"$response.body#{_ITS_OWN}"}
                    link = {"operationId": target["operationId"], "requestBody": body}
                    yield f"{target['operationId']}-{field}", link

    def _id_in(self, reply: Schema) -> str:
        """Where in the reply an id stands: its own, or that of the first of many."""
        properties = self._body(reply).get("properties", {})
        if "id" in properties:
            return _ITS_OWN
        for name, pointer in _FIRST_OF_MANY:
            item = properties.get(name, {}).get("items")
            if item and "id" in resolve(item, self.components).get("properties", {}):
                return pointer
        return ""

    def _body(self, holder: Schema) -> dict[str, Any]:
        content = holder.get("content", {}).get("application/json", {})
        return resolve(content["schema"], self.components) if "schema" in content else {}

    def _kept(self, name: str, link: Schema) -> str:
        """The reference to this link: under its name, numbered where another has that."""
        number = 1
        while self.shared.setdefault(key := name if number == 1 else f"{name}-{number}", link) != link:
            number += 1
        return f"{PREFIX}{key}"
