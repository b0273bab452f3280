"""JSON Schemas of what goes over the wire, out of msgspec's, and example values made from them.

msgspec leaves two things unsaid that clients need: that a time is RFC 3339 even where no zone is demanded, and that
integers end at 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import inspect

Schema = dict[str, Any]

PREFIX = "#/components/schemas/"
INT64 = (-(2**63), 2**63 - 1)
WHOLE = 3  # levels at which an example has also what may be left out: those of a page's items
DEEPEST = 4  # levels at which lists in an example still have items: a type may contain itself

_OBJECTS = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)
_BY_FORMAT = {
    "uuid": "01890a5d-ac96-774b-bcce-b302099a8057",
    "date-time": "2026-01-31T09:30:00Z",
    "date": "2026-01-31",
    "email": "alice@example.com",
    "uri": "https://example.com/",
    "decimal": "12.50",
    "duration": "PT15M",
}


def describe(kinds: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema for each of ``kinds`` (references where it has a name), and the named components they refer to."""
    infos = list(inspect.multi_type_info(kinds))
    objects = list({info.cls: info for info in _objects(infos, set())}.values())
    found, components = msgspec.json.schema_components(
        [*kinds, *(info.cls for info in objects)], ref_template=PREFIX + "{name}"
    )
    for info, reference in zip(objects, found[len(kinds) :], strict=True):
        properties = components[reference["$ref"].removeprefix(PREFIX)].get("properties", {})
        for field in info.fields:
            if field.encode_name in properties:
                _complete(properties[field.encode_name], field.type)
    schemas = list(found[: len(kinds)])
    for schema, info in zip(schemas, infos, strict=True):
        _complete(schema, info)
    return schemas, components


def _objects(infos: Iterable[inspect.Type], seen: set[Any]) -> Iterator[Any]:
    """Every type with fields that can be reached from ``infos``, once each."""
    for info in infos:
        if isinstance(info, inspect.Metadata):
            yield from _objects([info.type], seen)
        elif isinstance(info, inspect.UnionType):
            yield from _objects(info.types, seen)
        elif isinstance(info, inspect.CollectionType):
            yield from _objects([info.item_type], seen)
        elif isinstance(info, inspect.TupleType):
            yield from _objects(info.item_types, seen)
        elif isinstance(info, inspect.DictType):
            yield from _objects([info.value_type], seen)
        elif isinstance(info, _OBJECTS) and info.cls not in seen:
            seen.add(info.cls)
            yield info
            yield from _objects([field.type for field in info.fields], seen)


def _complete(schema: Schema, info: inspect.Type) -> None:
    """Say of ``schema``, which msgspec made of ``info``, what msgspec leaves out."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    if "$ref" in schema:
        return
    if isinstance(info, inspect.DateTimeType):
        schema["format"] = "date-time"
    elif isinstance(info, inspect.IntType):
        if "exclusiveMinimum" not in schema:
            schema.setdefault("minimum", INT64[0])
        if "exclusiveMaximum" not in schema:
            schema.setdefault("maximum", INT64[1])
    elif isinstance(info, inspect.CollectionType) and "items" in schema:
        _complete(schema["items"], info.item_type)
    elif isinstance(info, inspect.DictType) and "additionalProperties" in schema:
        _complete(schema["additionalProperties"], info.value_type)
    elif isinstance(info, inspect.UnionType):
        for part in info.types:
            _complete_option(schema.get("anyOf", ()), part)


def _complete_option(options: Iterable[Schema], info: inspect.Type) -> None:
    """The same for one part of a union: msgspec allows one number, one string-like and one array in it."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    wanted = {inspect.DateTimeType: "string", inspect.IntType: "integer", inspect.DictType: "object"}.get(type(info))
    if isinstance(info, inspect.CollectionType):
        wanted = "array"
    for option in options:
        if wanted and option.get("type") == wanted:
            _complete(option, info)


def resolve(schema: Schema, components: dict[str, Schema]) -> Schema:
    """What ``schema`` refers to, with what it says beside the reference."""
    while "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**components[schema["$ref"].removeprefix(PREFIX)], **beside}
    return schema


def sample(schema: Schema, components: dict[str, Schema], depth: int = 0) -> Any:
    """An example of ``schema``: its own, else its default, else the plainest value that it allows."""
    schema = resolve(schema, components)
    if schema.get("examples"):
        return schema["examples"][0]
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return sample(schema[key][0], components, depth)
    kind = schema.get("type")
    if kind == "object":
        return _sample_object(schema, components, depth)
    if kind == "array":
        items = schema.get("prefixItems") or [schema.get("items") or {}] * max(1, schema.get("minItems", 1))
        deep = depth >= DEEPEST and "minItems" not in schema
        return [] if deep else [sample(item, components, depth + 1) for item in items]
    if kind == "integer":
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        return max(low, min(1, schema.get("maximum", 1)))
    if kind == "number":
        return float(max(schema.get("minimum", 1.5), min(1.5, schema.get("maximum", 1.5))))
    if kind == "boolean":
        return True
    if kind == "string":
        text = _BY_FORMAT.get(schema.get("format", ""), "text")
        return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", len(text) + 1000)]
    return None


def _sample_object(schema: Schema, components: dict[str, Schema], depth: int) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        name: sample(part, components, depth + 1)
        for name, part in schema.get("properties", {}).items()
        if depth < WHOLE or name in required
    }
