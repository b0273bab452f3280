"""Documents: the version that guards each, their indexes, and what the registry is told of bad ones."""

from __future__ import annotations

import threading
import types
from typing import Any
from uuid import uuid4

import mongoengine
import pytest
from flask import Flask
from mongoengine import FileField, NotUniqueError, StringField
from papers import Folder, Paper, in_threads

from core.data.documents import TenantDocument, collection_of, document_faults, ensure_indexes, searches_text
from core.data.documents.checks import every_document
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.errors import Refused


def test_the_second_of_two_writers_is_told(ctx: Flask) -> None:
    first = Paper(title="draft").save()
    second = Paper.objects.get(id=first.id)
    first.title = "final"
    first.save()
    second.title = "lost"
    with pytest.raises(Refused, match="PRECONDITION_FAILED"):
        second.save()
    assert (second.version, second.tenant_id) == (1, DEFAULT.id)
    second.reload()
    assert second.title == "final"
    second.title = "agreed"
    assert second.save().version == 3
    first.delete()
    second.title = "too late"
    with pytest.raises(Refused, match="PRECONDITION_FAILED"):
        second.save()
    assert Paper.objects.count() == 0


def test_of_many_writers_of_one_version_one_wins(ctx: Flask) -> None:
    paper = Paper(title="draft").save()
    won: list[int] = []

    def write(number: int) -> None:
        with ctx.app_context(), acting_in(DEFAULT):
            mine = Paper.objects.get(id=paper.id)
            ready.wait()
            mine.hits = number
            try:
                mine.save()
                won.append(number)
            except Refused as refusal:
                assert refusal.code.name == "PRECONDITION_FAILED"

    ready = threading.Barrier(8)
    in_threads(write, range(8))
    assert [Paper.objects.get(id=paper.id).hits] == won


def test_atomic_updates_count_as_writes(ctx: Flask) -> None:
    paper = Paper(title="a").save()
    stale = Paper.objects.only("title").get(id=paper.id)
    assert stale.version == 1
    assert Paper.objects(id=paper.id).update(inc__hits=1) == 1
    assert Paper.objects(id=paper.id).modify(new=True, title="b").version == 3
    paper.update(push__tags="t")
    stale.title = "c"
    with pytest.raises(Refused, match="PRECONDITION_FAILED"):
        stale.save()
    paper.reload()
    assert (paper.version, paper.title, paper.tags) == (4, "b", ["t"])
    assert paper.updated_at >= paper.created_at


def test_an_upsert_makes_a_whole_document(ctx: Flask) -> None:
    for _ in range(2):
        made = Paper.objects(title="counter").upsert_one(inc__hits=1)
    assert (made.id.version, made.tenant_id, made.version, made.hits) == (7, DEFAULT.id, 2, 2)
    assert made.created_at <= made.updated_at
    chosen = uuid4()
    Paper.objects(id=chosen).modify(upsert=True, title="chosen")
    assert Paper.objects.get(id=chosen).version == 1


def test_a_condition_of_ones_own_is_kept(ctx: Flask) -> None:
    paper = Paper(title="a", hits=1).save()
    paper.hits = 2
    with pytest.raises(Refused, match="PRECONDITION_FAILED"):
        paper.save(save_condition={"title": "b"})
    assert paper.save(save_condition={"title": "a"}).version == 2


# -- indexes ----------------------------------------------------------------------------------------------------


def test_indexes_are_made_by_an_upgrade_and_begin_with_the_tenant(ctx: Flask) -> None:
    collection = collection_of(Paper)
    collection.drop()
    Paper(title="first").save()
    assert set(collection.index_information()) == {"_id_"}
    left_out = ensure_indexes(ctx)
    made = [index for name, index in collection.index_information().items() if name != "_id_"]
    keys = {tuple(name for name, _ in index["key"]) for index in made}
    assert {("tenant_id", "_id"), ("tenant_id", "hits"), ("tenant_id", "nickname"), ("gone_at",)} <= keys
    # Not every server has text indexes; whichever it is, it is said.
    assert searches_text(Paper) is not any("test_papers" in line and "title" in line for line in left_out)
    assert ensure_indexes(ctx) == left_out


def test_unique_means_within_the_tenant(ctx: Flask) -> None:
    ensure_indexes(ctx, [Folder, Paper])
    Folder(name="inbox").save()
    with pytest.raises(NotUniqueError):
        Folder(name="inbox").save()
    with acting_in(PLATFORM):
        Folder(name="inbox").save()
    for _ in range(2):
        Paper(title="no nickname").save()
    Paper(nickname="bob").save()
    with pytest.raises(NotUniqueError):
        Paper(nickname="bob").save()


def test_every_index_of_every_document_begins_with_the_tenant(ctx: Flask) -> None:
    for document in every_document():
        for spec in document._meta["index_specs"]:
            assert spec["fields"][0] == ("tenant_id", 1) or "expireAfterSeconds" in spec


# -- what the registry is told ----------------------------------------------------------------------------------


def test_faults_name_document_and_cure() -> None:
    module = types.ModuleType("shelf.documents")

    def declare(name: str, base: type, collection: str, **attributes: Any) -> None:
        meta = {"collection": collection, **attributes.pop("meta", {})}
        made = type(base)(name, (base,), {"meta": meta, "__module__": module.__name__, **attributes})
        setattr(module, name, made)

    declare("GoodNote", TenantDocument, "shelf_notes", text=StringField(), meta={"indexes": ["text"]})
    declare("LooseNote", mongoengine.Document, "shelf_loose")
    declare("StrayNote", TenantDocument, "papers")
    declare("BareNote", TenantDocument, "shelf_bare", meta={"queryset_class": mongoengine.QuerySet})
    declare("SlugNote", TenantDocument, "shelf_slugs", id=StringField(primary_key=True))
    declare("CappedNote", TenantDocument, "shelf_capped", meta={"max_documents": 5})
    declare("FileNote", TenantDocument, "shelf_files", file=FileField())
    module.Imported = Paper  # type: ignore[attr-defined]
    module.TenantDocument = TenantDocument  # type: ignore[attr-defined]
    faults = document_faults("shelf", module)
    for name, cure in {
        "LooseNote": "derive it from core.data.documents.TenantDocument",
        "StrayNote": "'shelf_…'",
        "BareNote": "TenantQuerySet",
        "SlugNote": "field of its own",
        "CappedNote": "remove it",
        "FileNote": "ObjectStore",
    }.items():
        (fault,) = [line for line in faults if f"document {name}:" in line]
        assert fault.startswith("plugin shelf: ") and cure in fault
    assert len(faults) == 6
