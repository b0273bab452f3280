"""The report `sales`, and what commerce keeps of a person."""

from __future__ import annotations

from typing import Any

from shop import Shop

from core.contracts import PersonalData, ReportSource, services
from core.data import unit


def sold(admin: Shop, name: str, sku: str, price: int, quantity: int, currency: str = "EUR", **more: Any) -> None:
    made = admin.post("/products", {"sku": sku, "name": sku, "price": price, "currency": currency})
    lines = [{"product_id": made.json["id"], "quantity": quantity}]
    order = admin.post("/orders", {"customer_id": admin.customer(name, **more)["id"], "lines": lines})
    assert admin.patch(order.headers["Location"], {"status": "completed"}, If_Match="*").status_code == 200


def test_sales(admin: Shop, alice: Shop, ctx: Any) -> None:
    sold(admin, "Ann", "TEA", 500, 3)
    sold(admin, "Ben", "CUP", 900, 1)
    sold(admin, "Cid", "POT", 100, 2, "USD")
    asked = {"since": "2020-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z"}
    told = admin.get("/reports/sales", **asked).json
    assert told["revenue"] == [
        {"currency": "EUR", "orders": 2, "total": 2400, "customers": 2},
        {"currency": "USD", "orders": 1, "total": 200, "customers": 1},
    ]
    assert [(each["sku"], each["quantity"], each["total"]) for each in told["products"]] == [
        ("TEA", 3, 1500),
        ("CUP", 1, 900),
        ("POT", 2, 200),
    ]
    assert told["placed"] == {"completed": 3}
    assert admin.get("/reports/sales", since=asked["until"], until=asked["since"]).status_code == 422
    assert admin.get("/reports/sales", since="soon", until=asked["until"]).json["errors"][0]["field"] == "since"
    assert alice.get("/reports/sales", **asked).json["code"] == "FORBIDDEN"
    with unit():
        assert services(ReportSource)["sales"].report(**asked)["revenue"][1]["total"] == 200


def test_a_person_takes_all_along_and_is_forgotten(admin: Shop, alice: Shop, ctx: Any) -> None:
    sold(admin, "Alice", "TEA", 500, 3, owner_id=str(alice.user_id))
    account = {"name": "Alice's", "currency": "EUR", "opening_balance": 100, "owner_id": str(alice.user_id)}
    admin.post("/accounts", account)
    kept = services(PersonalData)["commerce"]
    with unit():
        told = kept.export(alice.user_id)
    assert [len(told[name]) for name in ("customers", "orders", "accounts", "transfers")] == [1, 1, 1, 0]
    assert told["customers"][0]["email"] == "alice@example.com"
    for _ in range(2):
        with unit():
            kept.erase(alice.user_id)
    [customer] = admin.get("/customers").json["items"]
    assert (customer["name"], customer["status"], customer["owner_id"]) == ("erased", "closed", None)
    assert admin.get("/orders").json["items"][0]["total"] == 1500, "the books keep what was sold"
    with unit():
        assert not any(kept.export(alice.user_id).values())
