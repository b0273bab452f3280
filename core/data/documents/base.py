"""``TenantDocument``: what every document begins with.

A plugin writes ``class Note(TenantDocument): meta = {"collection": "shelf_notes", "indexes": ["owner_id"]}``; id,
tenant, version and times come with the base, and ``tenant_id`` goes first into each index by itself.
"""

from __future__ import annotations

from typing import Any, NoReturn, Self

from mongoengine import DateTimeField, Document, IntField, UUIDField
from mongoengine.errors import SaveConditionError
from pymongo.collection import Collection
from pymongo.database import Database

from core.data.documents.fenced import TenantQuerySet
from core.data.documents.store import Raw, database_for
from core.data.models import new_id, utcnow
from core.data.tenancy import current_tenant
from core.errors import PRECONDITION_FAILED, Refused


class TenantDocument(Document):
    """A document of one tenant: stamped by the server, filtered in each query, guarded by its version.

    ``save()`` writes if nobody else has written since this copy was read, and otherwise raises
    ``Refused(PRECONDITION_FAILED)``; atomic updates (``objects(...).update(inc__hits=1)``) count as writes too.
    Write the document first, then enqueue what follows, and let that bear repetition: Mongo is no part of the
    transaction.
    """

    meta = {
        "abstract": True,
        "queryset_class": TenantQuerySet,
        "auto_create_index": False,
        "index_cls": False,
        # What every list of a tenant's documents walks along.
        "indexes": [("tenant_id", "id")],
    }

    id = UUIDField(primary_key=True, default=new_id)
    tenant_id = UUIDField(required=True)
    version = IntField(default=0)
    created_at = DateTimeField()
    updated_at = DateTimeField()

    def stamp(self) -> None:
        """Make a new document the current tenant's. ``ValueError`` if it says that it is another's."""
        self._belongs_here(new=True)
        self.version = 1
        self.created_at = self.updated_at = _now()

    def _belongs_here(self, new: bool) -> None:
        tenant_id = current_tenant().id
        if new and self.tenant_id is None:
            self.tenant_id = tenant_id
        if self.tenant_id != tenant_id:
            raise ValueError(f"{type(self).__name__}.tenant_id is set by the server and never changes")

    def save(self, *, save_condition: dict[str, Any] | None = None, **options: Any) -> Self:
        """Insert a new document, or write what has changed in one that was read.

        ``Refused(PRECONDITION_FAILED)`` when it was written or deleted since; mongoengine's ``NotUniqueError`` and
        ``ValidationError`` as ever.
        """
        if not self.version or self._created:
            self.stamp()
            options["force_insert"] = True
            saved: Self = super().save(**options)
            return saved
        self._belongs_here(new=False)
        before = self.version, self.updated_at
        condition = {**(save_condition or {}), "tenant_id": self.tenant_id, "version": self.version}
        self.version, self.updated_at = self.version + 1, _now()
        try:
            saved = super().save(save_condition=condition, **options)
        except BaseException as exc:
            self.version, self.updated_at = before
            if isinstance(exc, SaveConditionError):
                raise Refused(PRECONDITION_FAILED, "read it again, and repeat the change") from None
            raise
        return saved

    @classmethod
    def _get_db(cls) -> Database[Raw]:
        return database_for(current_tenant())

    @classmethod
    def _get_collection(cls) -> Collection[Raw]:
        """Asked anew each time: the tenant of this greenlet decides, and nothing is kept on the class."""
        return cls._get_db()[cls._meta["collection"]]

    @classmethod
    def _build_index_specs(cls, meta_indexes: Any) -> list[dict[str, Any]]:
        return [_within_tenant(spec) for spec in super()._build_index_specs(meta_indexes)]

    @classmethod
    def drop_collection(cls) -> NoReturn:
        raise NotImplementedError(f"{cls.__name__}: the collection is every tenant's; delete with objects.delete()")

    def switch_db(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("the tenant decides on the database: use acting_in(tenant)")

    def switch_collection(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("a document stays in its collection")


def collection_of(document: type[TenantDocument]) -> Collection[Raw]:
    """pymongo's collection behind a document, in the current tenant's database: **nothing filters or stamps here**.

    In the shared database it holds the documents of every tenant, so each filter, pipeline and insert must name
    ``{"tenant_id": current_tenant().id}`` itself. For what the query set refuses (``$lookup``, ``$merge``).
    """
    return document._get_collection()


def _now() -> Any:
    """Now, as Mongo can keep it: in milliseconds."""
    now = utcnow()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _within_tenant(spec: dict[str, Any]) -> dict[str, Any]:
    """An index that begins with the tenant; unique then means unique within it.

    Mongo takes a time to live only on a single field, so such an index stays as it is. A sparse one would hold every
    document, since each has a tenant, and becomes a partial one.
    """
    fields = list(spec["fields"])
    if "expireAfterSeconds" in spec or fields[0][0] == "tenant_id":
        return spec
    told = {name: value for name, value in spec.items() if name != "sparse"}
    if spec.get("sparse"):
        told["partialFilterExpression"] = {name: {"$exists": True} for name, _ in fields}
    return {**told, "fields": [("tenant_id", 1), *(field for field in fields if field[0] != "tenant_id")]}
