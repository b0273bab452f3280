"""Customers over HTTP: what a resource does for any model, on this one."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from shop import Shop


def test_a_customer_is_made_read_changed_and_deleted(admin: Shop) -> None:
    made = admin.post("/customers", {"name": "Carol", "email": "carol@example.com", "tags": ["regular"]})
    assert (made.status_code, made.headers["Location"]) == (201, f"/api/commerce/customers/{made.json['id']}")
    where = made.headers["Location"]
    read = admin.get(where)
    assert (read.json, read.headers["ETag"]) == (made.json, made.headers["ETag"])
    changed = admin.patch(where, {"status": "blocked"}, If_Match=read.headers["ETag"])
    assert (changed.status_code, changed.json["status"], changed.json["tags"]) == (200, "blocked", ["regular"])
    assert changed.headers["ETag"] != read.headers["ETag"]
    assert admin.delete(where).status_code == 204
    assert admin.get(where).json["code"] == "NOT_FOUND"
    assert admin.get("/customers").json == {"items": [], "next": None}


def test_a_deleted_customer_is_seen_on_request_and_comes_back(admin: Shop) -> None:
    carol = admin.customer("Carol")
    where = f"/customers/{carol['id']}"
    admin.delete(where)
    assert [each["id"] for each in admin.get("/customers", deleted="only").json["items"]] == [carol["id"]]
    again = admin.post(f"{where}/restore")
    assert (again.status_code, again.json["name"]) == (200, "Carol")
    assert admin.get(where).status_code == 200
    assert admin.post(f"{where}/restore").json["version"] == again.json["version"], "twice is as once"


def test_a_deleted_customer_leaves_the_address_free_and_does_not_come_back_beside_another(admin: Shop) -> None:
    where = f"/customers/{admin.customer('Carol')['id']}"
    assert admin.post("/customers", {"name": "C.", "email": "CAROL@example.com"}).json["code"] == "CONFLICT"
    admin.delete(where)
    admin.customer("Carol")
    assert admin.post(f"{where}/restore").status_code == 409


def test_a_change_needs_the_version_that_was_read(admin: Shop) -> None:
    carol = admin.customer("Carol")
    where = f"/customers/{carol['id']}"
    tag = admin.get(where).headers["ETag"]
    assert admin.patch(where, {"name": "C"}).json["code"] == "PRECONDITION_REQUIRED"
    assert admin.patch(where, {"name": "C"}, If_Match=tag).status_code == 200
    late = admin.patch(where, {"name": "D"}, If_Match=tag)
    assert (late.status_code, late.json["code"]) == (412, "PRECONDITION_FAILED")
    assert admin.delete(where, If_Match=tag).status_code == 412
    assert admin.get(where).json["name"] == "C"


def test_a_patch_takes_away_with_null_and_leaves_the_rest(admin: Shop, alice: Shop) -> None:
    carol = admin.customer("Carol", tags=["a"], owner_id=str(alice.user_id))
    where = f"/customers/{carol['id']}"
    reply = admin.client.patch(
        f"/api/commerce{where}",
        data=b'{"tags": null, "owner_id": null}',
        headers={**admin.headers, "If-Match": "*", "Content-Type": "application/merge-patch+json"},
    )
    assert (reply.status_code, reply.json["tags"], reply.json["owner_id"]) == (200, [], None)
    refused = admin.patch(where, {"name": None}, If_Match="*")
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "$.name")


def test_a_put_replaces_the_whole(admin: Shop) -> None:
    carol = admin.customer("Carol", tags=["a"])
    body = {"name": "Caroline", "email": "caroline@example.com"}
    reply = admin.put(f"/customers/{carol['id']}", body, If_Match="*")
    assert (reply.json["name"], reply.json["tags"]) == ("Caroline", [])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "blocked"}, ["Dan"]),
        ({"status[ne]": "blocked"}, ["Eve", "Carol"]),
        ({"status[in]": "blocked,closed"}, ["Dan"]),
        ({"tags": "b"}, ["Dan", "Carol"]),
        ({"tags[in]": "a,c"}, ["Eve", "Carol"]),
        ({"email": "eve@example.com"}, ["Eve"]),
        ({"owner_id[null]": "true"}, []),
        ({"created_at[gte]": "2020-01-01", "created_at[lte]": "2099-12-31"}, ["Eve", "Dan", "Carol"]),
        ({"created_at[lte]": "9999-12-31"}, ["Eve", "Dan", "Carol"]),
        ({"created_at[gt]": "9999-12-31"}, []),
        ({"created_at[lt]": "2020-01-01T00:00:00Z"}, []),
        ({"search": "dan"}, ["Dan"]),
        ({"search": "nobody"}, []),
        ({"sort": "name"}, ["Carol", "Dan", "Eve"]),
        ({"sort": "-name"}, ["Eve", "Dan", "Carol"]),
    ],
)
def test_lists_are_filtered_sorted_and_searched(admin: Shop, query: dict[str, str], found: list[str]) -> None:
    admin.customer("Carol", tags=["a", "b"])
    admin.customer("Dan", tags=["b"], status="blocked")
    admin.customer("Eve", tags=["c"])
    reply = admin.get("/customers", **query)
    assert [each["name"] for each in reply.json["items"]] == found, reply.text
    assert admin.get("/customers", count="exact", **query).json["count"] == len(found)


@pytest.mark.parametrize(
    "query",
    [
        {"colour": "red"},
        {"status": "sleepy"},
        {"status[gt]": "active"},
        {"created_at[gte]": "2026-02-30"},
        {"created_at[gte]": "soon"},
        {"sort": "email"},
        {"fields": "name,password"},
        {"include": "secrets"},
        {"limit": "1000"},
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(admin: Shop, query: dict[str, str]) -> None:
    reply = admin.get("/customers", **query)
    assert (reply.status_code, reply.json["code"]) == (422, "VALIDATION_FAILED")
    assert reply.json["errors"][0]["field"].startswith(next(iter(query)))


def test_pages_follow_one_another(admin: Shop) -> None:
    for name in ("A", "B", "C", "D", "E"):
        admin.customer(name)
    seen, cursor = [], {}
    while True:
        reply = admin.get("/customers", limit=2, sort="name", **cursor).json
        seen += [each["name"] for each in reply["items"]]
        if reply["next"] is None:
            break
        cursor = {"cursor": reply["next"]}
    assert seen == ["A", "B", "C", "D", "E"]
    assert admin.get("/customers", sort="-name", **cursor).json["code"] == "INVALID_CURSOR"


def test_only_the_fields_that_were_asked_for(admin: Shop) -> None:
    carol = admin.customer("Carol")
    told = {"id": carol["id"], "name": "Carol"}
    assert admin.get("/customers", fields="name").json["items"] == [told]
    assert admin.get(f"/customers/{carol['id']}", fields="name").json == told


def test_history_tells_who_did_what(admin: Shop) -> None:
    carol = admin.customer("Carol")
    where = f"/customers/{carol['id']}"
    admin.patch(where, {"name": "Caroline"}, If_Match="*")
    admin.patch(where, {"name": "Caroline"}, If_Match="*")
    admin.delete(where)
    told = admin.get(f"{where}/history").json["items"]
    assert [each["action"] for each in told] == [
        f"commerce.customer_{what}" for what in ("deleted", "changed", "created")
    ], "a change that changes nothing is none"
    assert (told[1]["before"], told[1]["after"]) == ({"name": "Carol"}, {"name": "Caroline"})
    assert {each["actor_id"] for each in told} == {str(admin.user_id)}
    first = admin.get(f"{where}/history", limit=1).json
    rest = admin.get(f"{where}/history", cursor=first["next"]).json
    assert [*first["items"], *rest["items"]] == told
    assert admin.get(f"/customers/{uuid4()}/history").status_code == 404


def test_who_owns_a_customer_sees_that_one_alone(admin: Shop, alice: Shop) -> None:
    hers = admin.customer("Carol", owner_id=str(alice.user_id))
    other = admin.customer("Dan")
    assert [each["id"] for each in alice.get("/customers").json["items"]] == [hers["id"]]
    assert alice.get(f"/customers/{hers['id']}").status_code == 200
    for reply in (
        alice.get(f"/customers/{other['id']}"),
        alice.get(f"/customers/{uuid4()}"),
        alice.get(f"/customers/{other['id']}/history"),
        alice.patch(f"/customers/{other['id']}", {"name": "X"}, If_Match="*"),
        alice.delete(f"/customers/{other['id']}"),
        alice.post("/customers", {"name": "X", "email": "x@example.com"}),
    ):
        assert reply.json["code"] == "FORBIDDEN"
    assert alice.patch(f"/customers/{hers['id']}", {"name": "Cara"}, If_Match="*").json["name"] == "Cara"


def test_a_stranger_gets_nothing(client: Any) -> None:
    assert client.get("/api/commerce/customers").json["code"] == "TOKEN_MISSING"
