"""Query sets that see, change and make documents of one tenant only.

A query set belongs to the tenant in whose name it was made; used in another's it raises ``RuntimeError``, since it
may hold results already. What cannot be fenced (map-reduce, server-side JavaScript, ``using``, stages that reach into
other collections) is refused; ``collection_of`` is the way around, in plain sight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from mongoengine import Document
from mongoengine.queryset import QuerySet, QuerySetNoCache, transform
from mongoengine.queryset.field_list import QueryFieldList

from core.contracts import Tenant
from core.data.models import new_id, utcnow
from core.data.tenancy import current_tenant

OURS = frozenset({"_id", "tenant_id", "version"})
ALWAYS_LOADED = frozenset({"tenant_id", "version"})
STAGES = frozenset(
    f"${name}"
    for name in (
        "match project group sort limit skip unwind addFields set unset count facet bucket bucketAuto sortByCount"
        " sample replaceRoot replaceWith redact setWindowFields densify fill"
    ).split()
)


class _Fenced:
    """The fence, laid over either kind of mongoengine's query sets."""

    _document: Any
    _loaded_fields: QueryFieldList
    _as_pymongo: bool
    _scalar: list[str]

    def __init__(self, document: Any, collection: Any) -> None:
        self._tenant = current_tenant()
        super().__init__(document, collection)  # type: ignore[call-arg]
        always = self._loaded_fields.always_include | ALWAYS_LOADED
        self._loaded_fields = QueryFieldList(always_include=always)

    def _checked(self) -> Tenant:
        now = current_tenant()
        if now.id != self._tenant.id:
            raise RuntimeError(
                f"a query set of {self._document.__name__} made for tenant {self._tenant.slug} is used in {now.slug};"
                " make it where it is used"
            )
        return now

    def _clone_into(self, new: Any) -> Any:
        self._checked()
        return super()._clone_into(new)  # type: ignore[misc]

    @property
    def _query(self) -> dict[str, Any]:
        own = {"tenant_id": self._checked().id}
        asked: dict[str, Any] = super()._query  # type: ignore[misc]
        return {"$and": [own, asked]} if "tenant_id" in asked else {**own, **asked}

    @property
    def _collection(self) -> Any:
        self._checked()
        return super()._collection  # type: ignore[misc]

    @property
    def _cursor(self) -> Any:
        self._checked()
        return super()._cursor  # type: ignore[misc]

    def __iter__(self) -> Iterator[Any]:
        self._checked()
        return super().__iter__()  # type: ignore[misc]

    def no_cache(self) -> Any:
        return self._clone_into(UncachedTenantQuerySet(self._document, self._collection))

    def cache(self) -> Any:
        return self._clone_into(TenantQuerySet(self._document, self._collection))

    # -- reading by other roads --

    def in_bulk(self, object_ids: Iterable[Any]) -> dict[Any, Any]:
        """The documents with these ids, by id; those of another tenant are left out like those that do not exist."""
        found = self.filter(pk__in=list(object_ids))  # type: ignore[attr-defined]
        if self._scalar:
            raise ValueError("in_bulk() answers with whole documents: leave out scalar()")
        return {row["_id"] if self._as_pymongo else row.pk: row for row in found}

    def aggregate(self, pipeline: Iterable[Mapping[str, Any]], **options: Any) -> Any:
        """Run a pipeline over this query set's documents. Stages that read or write elsewhere: ``ValueError``."""
        stages = list(pipeline)
        _refuse_foreign(stages)
        return super().aggregate(stages, **options)  # type: ignore[misc]

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("this cannot be kept to one tenant: use aggregate(), or collection_of() knowingly")

    using = map_reduce = exec_js = item_frequencies = _refuse

    # -- writing --

    def insert(self, doc_or_docs: Any, load_bulk: bool = True, **options: Any) -> Any:
        """Insert one document or many, stamped with the current tenant."""
        given = doc_or_docs if isinstance(doc_or_docs, Document) else list(doc_or_docs)
        for document in [given] if isinstance(given, Document) else given:
            document.stamp()
        return super().insert(given, load_bulk, **options)  # type: ignore[misc]

    def update(self, upsert: bool = False, multi: bool = True, **options: Any) -> Any:
        """Change every document that matches, and count it as a write of each: ``version`` goes up by one."""
        settings = {name: options.pop(name) for name in _UPDATE_SETTINGS if name in options}
        told = {"__raw__": self._written(options, upsert)} if options or upsert else {}
        return super().update(upsert, multi, **settings, **told)  # type: ignore[misc]

    def modify(self, upsert: bool = False, remove: bool = False, **options: Any) -> Any:
        """Change, or remove, one document and answer with it."""
        settings = {name: options.pop(name) for name in ("new", "array_filters") if name in options}
        told = {} if remove or not (options or upsert) else {"__raw__": self._written(options, upsert)}
        return super().modify(upsert, remove=remove, **settings, **told)  # type: ignore[misc]

    def _written(self, update: dict[str, Any], upsert: bool) -> Any:
        raw = update.get("__raw__")
        if isinstance(raw, Sequence):
            return [*raw, {"$set": self._closing()}]
        written = transform.update(self._document, **update)
        touched = {name.partition(".")[0] for name in _targets(written)}
        if touched & OURS:
            raise ValueError(f"{self._document.__name__}: id, tenant_id and version are the server's to set")
        now = utcnow()
        written.setdefault("$inc", {})["version"] = 1
        if "updated_at" not in touched:
            written.setdefault("$set", {})["updated_at"] = now
        if upsert:
            made: dict[str, Any] = {} if "created_at" in touched else {"created_at": now}
            if not _names_id(self._query):
                made["_id"] = new_id()
            written["$setOnInsert"] = {**written.get("$setOnInsert", {}), **made}
        return written

    def _closing(self) -> dict[str, Any]:
        """The last stage of an update that is a pipeline: whatever it did, the tenant is right again."""
        version = {"$add": [{"$ifNull": ["$version", 0]}, 1]}
        return {"tenant_id": self._checked().id, "version": version, "updated_at": utcnow()}


class TenantQuerySet(_Fenced, QuerySet):
    """The query set of every ``TenantDocument``; a query set of your own derives from it."""

    def __len__(self) -> int:
        self._checked()
        return int(super().__len__())


class UncachedTenantQuerySet(_Fenced, QuerySetNoCache):
    """The same without keeping what it has read, for long runs."""


_UPDATE_SETTINGS = ("write_concern", "read_concern", "full_result", "array_filters")


def _targets(written: Mapping[str, Any]) -> Iterator[str]:
    for operator, fields in written.items():
        if not operator.startswith("$") or not isinstance(fields, Mapping):
            raise ValueError(f"an update names operators such as $set, not {operator!r}")
        yield from fields
        if operator == "$rename":
            yield from fields.values()


def _names_id(query: Any) -> bool:
    """Whether a filter fixes the id that an upsert would then insert."""
    if not isinstance(query, Mapping):
        return False
    return "_id" in query or any(_names_id(part) for part in query.get("$and", ()))


def _refuse_foreign(stages: Iterable[Mapping[str, Any]]) -> None:
    for stage in stages:
        for name, body in stage.items():
            if name not in STAGES:
                raise ValueError(f"aggregate() stage {name} may reach beyond the tenant: use collection_of() knowingly")
            if name == "$facet":
                for inner in body.values():
                    _refuse_foreign(inner)
