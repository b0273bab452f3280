"""Many changes in one request, each on its own or all together."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from shop import Shop


def bulk(shop: Shop, *operations: dict[str, Any], **more: Any) -> Any:
    return shop.post("/customers/bulk", {"operations": list(operations), **more})


def creating(name: str, **more: Any) -> dict[str, Any]:
    return {"op": "create", "body": {"name": name, "email": f"{name.lower()}@example.com", **more}}


def test_each_row_has_a_result_of_its_own(admin: Shop) -> None:
    carol, dan = admin.customer("Carol"), admin.customer("Dan")
    reply = bulk(
        admin,
        creating("Eve"),
        creating("Carol"),
        creating("Fay", status="sleepy"),
        {"op": "patch", "id": carol["id"], "if_match": "*", "body": {"status": "blocked"}},
        {"op": "patch", "id": carol["id"], "body": {"status": "active"}},
        {"op": "replace", "id": dan["id"], "if_match": '"77"', "body": {"name": "D", "email": "d@example.com"}},
        {"op": "delete", "id": dan["id"]},
        {"op": "delete", "id": str(uuid4())},
        {"op": "restore", "id": dan["id"]},
        {"op": "patch", "if_match": "*", "body": {}},
    ).json
    assert [(each["status"], each.get("error", {}).get("code")) for each in reply["results"]] == [
        (201, None),
        (409, "CONFLICT"),
        (422, "VALIDATION_FAILED"),
        (200, None),
        (428, "PRECONDITION_REQUIRED"),
        (412, "PRECONDITION_FAILED"),
        (204, None),
        (404, "NOT_FOUND"),
        (200, None),
        (422, "VALIDATION_FAILED"),
    ]
    assert (reply["succeeded"], reply["failed"]) == (4, 6)
    assert reply["results"][2]["error"]["errors"][0]["field"] == "$.body.status"
    found = {each["name"]: each["status"] for each in admin.get("/customers").json["items"]}
    assert found == {"Carol": "blocked", "Dan": "active", "Eve": "active"}
    made = admin.get(f"/customers/{reply['results'][0]['id']}")
    assert made.headers["ETag"] == reply["results"][0]["etag"]


def test_all_or_none(admin: Shop) -> None:
    reply = bulk(admin, creating("Carol"), creating("Dan", tags=["a,b"]), atomic=True)
    assert (reply.status_code, reply.json["errors"][0]["field"]) == (422, "$.operations[1].body.tags[0]")
    clash = bulk(admin, creating("Carol"), creating("Carol"), atomic=True)
    assert (clash.status_code, clash.json["errors"][0]["field"]) == (409, "$.operations[1]")
    assert admin.get("/customers").json["items"] == []
    assert bulk(admin, creating("Carol"), creating("Dan"), atomic=True).json["succeeded"] == 2


def test_the_same_key_changes_once(admin: Shop) -> None:
    for _ in range(2):
        told = {"operations": [creating("Carol")]}
        assert admin.post("/customers/bulk", told, Idempotency_Key="k").json["succeeded"] == 1
    assert len(admin.get("/customers").json["items"]) == 1


def test_whoever_owns_some_changes_those_alone(admin: Shop, alice: Shop) -> None:
    hers, other = admin.customer("Carol", owner_id=str(alice.user_id)), admin.customer("Dan")
    told = [{"op": "patch", "id": each["id"], "if_match": "*", "body": {"name": "X"}} for each in (hers, other)]
    results = bulk(alice, *told, creating("Eve")).json["results"]
    assert [each["status"] for each in results] == [200, 403, 403]


def test_bounds(admin: Shop) -> None:
    assert bulk(admin).status_code == 422
    assert bulk(admin, *[creating(f"C{number}") for number in range(501)]).json["errors"][0]["field"] == "$.operations"
