"""What is wrong with a plugin's documents, and bringing their indexes into being."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import pymongo
from flask import Flask
from mongoengine import Document, FileField, SequenceField, UUIDField
from pymongo.database import Database
from pymongo.errors import OperationFailure

from core.contracts import TenantDirectory, service
from core.data.documents.base import TenantDocument
from core.data.documents.fenced import TenantQuerySet
from core.data.documents.store import Raw, client, database_name, shared_name

UNFENCED_META = ("db_alias", "max_size", "max_documents", "timeseries")
CANNOT_CREATE_INDEX = 67


def document_faults(plugin: str, module: ModuleType) -> list[str]:
    """What is wrong with the document classes of a plugin's ``documents.py``, one line each."""
    return [
        f"plugin {plugin}: document {document.__name__}: {fault}"
        for document in _declared(module)
        for fault in _faults(plugin, document)
    ]


def _declared(module: ModuleType) -> Iterator[Any]:
    for found in vars(module).values():
        if isinstance(found, type) and issubclass(found, Document) and found.__module__ == module.__name__:
            document: Any = found
            if not document._meta.get("abstract"):
                yield document


def _faults(plugin: str, document: Any) -> Iterator[str]:
    if not issubclass(document, TenantDocument):
        yield "is not a TenantDocument; derive it from core.data.documents.TenantDocument"
        return
    meta, collection = document._meta, document._meta["collection"]
    if not collection.startswith(f"{plugin}_"):
        yield f"collection {collection!r} is outside its prefix; say meta = {{'collection': '{plugin}_…'}}"
    if not issubclass(meta["queryset_class"], TenantQuerySet):
        yield "its query set is not fenced; derive it from core.data.documents.TenantQuerySet"
    if meta["id_field"] != "id" or not isinstance(document._fields["id"], UUIDField):
        yield "its id is not the UUID of TenantDocument; keep another key in a field of its own, unique=True"
    for option in UNFENCED_META:
        if meta.get(option):
            yield f"meta {option!r} is not available here; remove it"
    for name, field in document._fields.items():
        if isinstance(field, FileField | SequenceField):
            yield f"field {name!r} keeps its data outside the tenant; use ObjectStore for bytes and UUIDs for ids"


def every_document() -> list[Any]:
    """Every concrete document class that has been imported."""
    found: list[Any] = []
    waiting: list[Any] = [TenantDocument]
    while waiting:
        for document in waiting.pop().__subclasses__():
            waiting.append(document)
            if not document._meta.get("abstract"):
                found.append(document)
    return sorted(found, key=lambda document: (document._meta["collection"], document.__name__))


def ensure_indexes(app: Flask, documents: Iterable[Any] | None = None) -> list[str]:
    """Create the declared indexes in every home; a line for each that the server could not make.

    Part of an upgrade, never of a boot or a first query. Text indexes are tried apart, since not every server has
    them. An index that is there with other options is Mongo's ``OperationFailure``: drop it, and upgrade again.
    """
    with app.app_context():
        wanted = every_document() if documents is None else list(documents)
        left_out: list[str] = []
        for database in _homes():
            for document in wanted:
                for spec in document._meta["index_specs"]:
                    left_out += _create(database, document, dict(spec))
        return left_out


def _homes() -> Iterator[Database[Raw]]:
    names = {database_name(tenant) for tenant in service(TenantDirectory).every()}
    for name in sorted({shared_name(), *names}):
        yield client()[name]


def _create(database: Database[Raw], document: Any, spec: dict[str, Any]) -> list[str]:
    collection = document._meta["collection"]
    fields = spec.pop("fields")
    try:
        database[collection].create_index(fields, **spec)
    except OperationFailure as exc:
        if exc.code != CANNOT_CREATE_INDEX or not is_text(fields):
            raise
        names = ", ".join(name for name, direction in fields if direction == pymongo.TEXT)
        return [f"{collection}: no text index on {names}; this server has none"]
    return []


def is_text(fields: Iterable[tuple[str, Any]]) -> bool:
    return any(direction == pymongo.TEXT for _, direction in fields)


def searches_text(document: Any) -> bool:
    """Whether ``objects.search_text()`` works here: whether the document's text index exists."""
    indexes = document._get_collection().index_information().values()
    return any(is_text(index["key"]) or "weights" in index for index in indexes)
