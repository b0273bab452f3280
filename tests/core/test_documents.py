"""Documents of one tenant at a time: by whatever road, nothing of another is read, changed or made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any
from uuid import uuid4

import mongoengine
import pytest
from flask import Flask
from mongoengine import NotUniqueError, StringField
from papers import ELSEWHERE, Folder, Paper

from core.data.documents import TenantDocument, TenantQuerySet, client, collection_of, database_for
from core.data.tenancy import DEFAULT, PLATFORM, acting_in


@pytest.fixture
def theirs(ctx: Flask) -> Iterator[Paper]:
    """A paper of ``platform``, while the test acts in ``default``; it must be the same afterwards."""
    with acting_in(PLATFORM):
        folder = Folder(name="safe").save()
        paper = Paper(title="theirs", tags=["secret"], hits=5, folder=folder).save()
        before = collection_of(Paper).find_one({"_id": paper.id})
    yield paper
    with acting_in(PLATFORM):
        assert collection_of(Paper).find_one({"_id": paper.id}) == before
        assert Paper.objects.count() == 1


# -- made and kept ----------------------------------------------------------------------------------------------


def test_a_document_is_stamped_and_comes_back_as_it_was(ctx: Flask) -> None:
    paper = Paper(title="mine").save()
    assert paper.id.version == 7
    assert (paper.tenant_id, paper.version) == (DEFAULT.id, 1)
    found = Paper.objects.get(id=paper.id)
    assert (found.title, found.created_at, found.updated_at) == ("mine", paper.created_at, paper.updated_at)
    assert found.created_at.tzinfo is not None
    assert found.created_at.astimezone(UTC) <= found.updated_at


def test_many_are_stamped_too(ctx: Flask) -> None:
    made = Paper.objects.insert([Paper(title=str(number)) for number in range(3)])
    assert {(paper.tenant_id, paper.version) for paper in made} == {(DEFAULT.id, 1)}
    plain = [Paper(title="plain")]
    assert Paper.objects.insert(plain, load_bulk=False) == [plain[0].id]
    plain[0].title = "changed"
    assert plain[0].save().version == 2
    assert Paper.objects.insert(Paper(title="one")).title == "one"
    assert Paper.objects.create(title="made").version == 1


def test_nothing_is_made_or_asked_without_a_tenant(board: Flask) -> None:
    with board.app_context():
        for call in (lambda: Paper.objects, Paper(title="x").save, lambda: collection_of(Paper)):
            with pytest.raises(LookupError, match="no tenant"):
                call()


# -- the fence --------------------------------------------------------------------------------------------------

READS: dict[str, Callable[[Paper], Any]] = {
    "all": lambda theirs: list(Paper.objects),
    "by id": lambda theirs: Paper.objects(id=theirs.id).first(),
    "with_id": lambda theirs: Paper.objects.with_id(theirs.id),
    "in_bulk": lambda theirs: Paper.objects.in_bulk([theirs.id]),
    "count": lambda theirs: Paper.objects.count(),
    "length": lambda theirs: len(Paper.objects),
    "truth": lambda theirs: bool(Paper.objects),
    "by tenant": lambda theirs: list(Paper.objects(tenant_id=PLATFORM.id)),
    "raw or": lambda theirs: list(Paper.objects(__raw__={"$or": [{"tenant_id": PLATFORM.id}, {}]})),
    "raw tenant": lambda theirs: list(Paper.objects(__raw__={"tenant_id": {"$exists": True}})),
    "no cache": lambda theirs: list(Paper.objects.no_cache()),
    "no cache, cached": lambda theirs: list(Paper.objects.no_cache().cache()),
    "clone": lambda theirs: list(Paper.objects.clone().all().filter().order_by("-hits").limit(5)),
    "slice": lambda theirs: list(Paper.objects[0:5]),
    "scalar": lambda theirs: list(Paper.objects.scalar("title")),
    "rows": lambda theirs: list(Paper.objects.as_pymongo()),
    "only": lambda theirs: list(Paper.objects.only("title")),
    "distinct": lambda theirs: Paper.objects.distinct("title"),
    "sum": lambda theirs: Paper.objects.sum("hits"),
    "average": lambda theirs: Paper.objects.average("hits"),
    "aggregate": lambda theirs: list(Paper.objects.aggregate([{"$project": {"title": 1}}])),
    "facet": lambda theirs: Paper.objects.aggregate([{"$facet": {"a": [{"$match": {}}]}}]).next()["a"],
    "reload": lambda theirs: _none_if_missing(theirs.reload),
    "get": lambda theirs: _none_if_missing(lambda: Paper.objects.get(id=theirs.id)),
}


def _none_if_missing(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Paper.DoesNotExist:
        return None


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_nothing_of_another_tenant_is_read(theirs: Paper, read: Callable[[Paper], Any]) -> None:
    assert not read(theirs)
    with acting_in(PLATFORM):
        assert read(theirs)


WRITES: dict[str, Callable[[Paper], Any]] = {
    "update": lambda theirs: Paper.objects.update(title="x"),
    "update one": lambda theirs: Paper.objects(id=theirs.id).update_one(inc__hits=1),
    "update raw": lambda theirs: Paper.objects(id=theirs.id).update(__raw__={"$set": {"title": "x"}}),
    "update by pipeline": lambda theirs: Paper.objects.update(__raw__=[{"$set": {"title": "x"}}]),
    "modify": lambda theirs: Paper.objects(id=theirs.id).modify(title="x"),
    "modify one": lambda theirs: theirs.modify(title="x"),
    "remove": lambda theirs: Paper.objects(id=theirs.id).modify(remove=True),
    "update it": lambda theirs: theirs.update(title="x"),
    "delete": lambda theirs: Paper.objects.delete(),
    "delete by id": lambda theirs: Paper.objects(id=theirs.id).delete(),
    "delete some": lambda theirs: Paper.objects(id=theirs.id).limit(1).delete(),
    "delete it": lambda theirs: theirs.delete(),
    "delete uncached": lambda theirs: Paper.objects.no_cache().delete(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_nothing_of_another_tenant_is_changed(theirs: Paper, write: Callable[[Paper], Any]) -> None:
    assert not write(theirs)


def test_another_tenants_id_is_no_way_in(theirs: Paper) -> None:
    for write in (
        lambda: Paper.objects(id=theirs.id).update_one(upsert=True, title="x"),
        lambda: Paper(id=theirs.id, title="x").save(),
        lambda: Paper.objects.insert(Paper(id=theirs.id, title="x")),
    ):
        with pytest.raises(NotUniqueError):
            write()


def test_a_document_never_changes_its_tenant(theirs: Paper) -> None:
    with pytest.raises(ValueError, match="never changes"):
        theirs.save()
    with pytest.raises(ValueError, match="never changes"):
        Paper(title="x", tenant_id=PLATFORM.id).save()
    with pytest.raises(ValueError, match="never changes"):
        Paper.objects.insert([Paper(title="x", tenant_id=PLATFORM.id)])
    mine = Paper(title="mine").save()
    mine.tenant_id = PLATFORM.id
    with pytest.raises(ValueError, match="never changes"):
        mine.save()
    for update in (
        {"tenant_id": PLATFORM.id},
        {"unset__tenant_id": 1},
        {"id": uuid4()},
        {"inc__version": -1},
        {"__raw__": {"$rename": {"tenant_id": "t"}}},
        {"__raw__": {"$rename": {"nickname": "tenant_id"}}},
        {"__raw__": {"tenant_id": PLATFORM.id}},
    ):
        with pytest.raises(ValueError, match=r"server's to set|operators"):
            Paper.objects(id=mine.id).update(**update)
        with pytest.raises(ValueError, match=r"server's to set|operators"):
            Paper.objects(id=mine.id).modify(**update)
    Paper.objects(id=mine.id).update(__raw__=[{"$set": {"tenant_id": PLATFORM.id, "title": "x"}}])
    assert Paper.objects.get(id=mine.id).version == 2


def test_a_reference_to_another_tenants_document_leads_nowhere(theirs: Paper) -> None:
    mine = Paper(title="mine", folder=theirs._data["folder"].id).save()
    with pytest.raises(mongoengine.DoesNotExist):
        print(Paper.objects.get(id=mine.id).folder)
    assert not isinstance(Paper.objects.select_related()[0]._data["folder"], Folder)
    with acting_in(PLATFORM):
        assert Paper.objects.get(id=theirs.id).folder.name == "safe"


@pytest.mark.parametrize(
    "call",
    [
        lambda: Paper.objects.using("other"),
        lambda: Paper.objects.map_reduce("", "", "inline"),
        lambda: Paper.objects.exec_js("1"),
        lambda: Paper.objects.item_frequencies("tags"),
        lambda: Paper.drop_collection(),
        lambda: Paper().switch_db("other"),
        lambda: Paper().switch_collection("other"),
    ],
)
def test_what_cannot_be_fenced_is_refused(ctx: Flask, call: Callable[[], Any]) -> None:
    with pytest.raises(NotImplementedError):
        call()


@pytest.mark.parametrize(
    "stage",
    [
        {"$lookup": {"from": "test_papers", "localField": "x", "foreignField": "x", "as": "all"}},
        {"$unionWith": "test_papers"},
        {"$graphLookup": {}},
        {"$out": "stolen"},
        {"$merge": "stolen"},
        {"$facet": {"a": [{"$unionWith": "test_papers"}]}},
    ],
)
def test_a_pipeline_does_not_reach_into_other_collections(ctx: Flask, stage: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="beyond the tenant"):
        Paper.objects.aggregate([{"$match": {}}, stage])


def test_a_query_set_is_not_carried_into_another_tenant(theirs: Paper) -> None:
    Paper(title="mine").save()
    read, fresh = Paper.objects.all(), Paper.objects.no_cache()
    assert len(read) == 1
    with acting_in(PLATFORM):
        for use in (
            lambda: list(read),
            lambda: len(read),
            lambda: read.count(),
            lambda: read.filter(title="mine"),
            lambda: list(fresh),
            lambda: fresh.update(title="x"),
            lambda: read[0],
        ):
            with pytest.raises(RuntimeError, match="made for tenant default"):
                use()
    titles = []
    for paper in read:
        with acting_in(PLATFORM):
            titles += [paper.title, *Paper.objects.scalar("title")]
    assert titles == ["mine", "theirs"]


def test_other_homes_have_a_database_of_their_own(ctx: Flask) -> None:
    assert database_for(DEFAULT).name == database_for(PLATFORM).name == client().get_default_database().name
    assert database_for(ELSEWHERE).name == f"t_{ELSEWHERE.id.hex}"
    try:
        with acting_in(ELSEWHERE):
            Paper(title="far").save()
            assert Paper.objects.get().title == "far"
        assert Paper.objects.count() == 0
    finally:
        client().drop_database(f"t_{ELSEWHERE.id.hex}")


def test_a_query_set_of_ones_own_is_fenced(theirs: Paper) -> None:
    class Titles(TenantQuerySet):
        def titles(self) -> list[str]:
            return list(self.scalar("title"))

    class OwnPaper(TenantDocument):
        meta = {"collection": "test_papers", "queryset_class": Titles, "strict": False}

        title = StringField()

    assert OwnPaper.objects.titles() == []
    with acting_in(PLATFORM):
        assert OwnPaper.objects.titles() == ["theirs"]
