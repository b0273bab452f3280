"""Orders: placed at the prices of the moment, told with their lines, and found through their customers."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from shop import Shop
from statements import statements


def product(admin: Shop, sku: str, price: int = 500, **more: Any) -> str:
    made = admin.post("/products", {"sku": sku, "name": sku, "price": price, "currency": "EUR", **more})
    assert made.status_code == 201, made.text
    return str(made.json["id"])


def order(shop: Shop, customer: dict[str, Any], *lines: tuple[str, int], **more: Any) -> Any:
    told = [{"product_id": product_id, "quantity": quantity} for product_id, quantity in lines]
    return shop.post("/orders", {"customer_id": customer["id"], "lines": told, **more})


def ordered(admin: Shop, customer: dict[str, Any], product_id: str, quantity: int, status: str = "completed") -> None:
    made = order(admin, customer, (product_id, quantity))
    assert made.status_code == 201, made.text
    if status != "placed":
        assert admin.patch(made.headers["Location"], {"status": status}, If_Match="*").status_code == 200


def test_an_order_keeps_the_prices_of_the_moment(admin: Shop) -> None:
    tea, cup = product(admin, "TEA", 500), product(admin, "CUP", 900)
    made = order(admin, admin.customer("Carol"), (tea, 3), (cup, 1))
    assert (made.status_code, made.json["total"], made.json["status"]) == (201, 2400, "placed")
    admin.patch(f"/products/{tea}", {"price": 1}, If_Match="*")
    told = admin.get(made.headers["Location"], include="lines,customer").json
    assert [(line["sku"], line["quantity"], line["unit_price"], line["total"]) for line in told["lines"]] == [
        ("TEA", 3, 500, 1500),
        ("CUP", 1, 900, 900),
    ]
    assert told["customer"]["name"] == "Carol"


def test_an_order_is_completed_or_cancelled_once(admin: Shop) -> None:
    made = order(admin, admin.customer("Carol"), (product(admin, "TEA"), 1)).json
    where = f"/orders/{made['id']}"
    done = admin.patch(where, {"status": "completed"}, If_Match="*").json
    assert done["completed_at"] is not None
    assert admin.patch(where, {"status": "cancelled"}, If_Match="*").json["code"] == "CONFLICT"
    assert admin.patch(where, {"total": 1}, If_Match="*").json["code"] == "VALIDATION_FAILED"


def test_what_cannot_be_ordered(admin: Shop) -> None:
    carol, tea = admin.customer("Carol"), product(admin, "TEA")
    dollars, gone = product(admin, "USD", currency="USD"), product(admin, "OLD", status="retired")
    for lines, field in (
        ([(str(uuid4()), 1)], "$.lines[0].product_id"),
        ([(tea, 1), (dollars, 1)], "$.lines[1].product_id"),
        ([(gone, 1)], "$.lines[0].product_id"),
        ([(tea, 0)], "$.lines[0].quantity"),
        ([], "$.lines"),
    ):
        reply = order(admin, carol, *lines)
        assert (reply.status_code, reply.json["errors"][0]["field"]) == (422, field)
    assert order(admin, {"id": str(uuid4())}, (tea, 1)).json["errors"][0]["field"] == "$.customer_id"
    admin.patch(f"/customers/{carol['id']}", {"status": "blocked"}, If_Match="*")
    assert order(admin, carol, (tea, 1)).json["code"] == "CONFLICT"
    assert admin.get("/orders").json["items"] == []


def test_who_owns_a_customer_orders_for_it_and_cannot_complete(admin: Shop, alice: Shop) -> None:
    tea, hers = product(admin, "TEA"), admin.customer("Carol", owner_id=str(alice.user_id))
    assert order(alice, admin.customer("Dan"), (tea, 1)).json["code"] == "FORBIDDEN"
    assert order(alice, {"id": str(uuid4())}, (tea, 1)).json["code"] == "FORBIDDEN"
    made = order(alice, hers, (tea, 1))
    assert made.status_code == 201
    where = made.headers["Location"]
    assert alice.patch(where, {"status": "completed"}, If_Match="*").json["code"] == "FORBIDDEN"
    assert alice.patch(where, {"status": "cancelled"}, If_Match="*").status_code == 200


def test_active_customers_of_a_time_with_large_completed_orders_newest_first(admin: Shop) -> None:
    tea = product(admin, "TEA", 1000)
    for name, quantities, status in (
        ("Ann", (11, 12), "active"),
        ("Ben", (10,), "active"),  # exactly the amount: not over it
        ("Cid", (50,), "blocked"),
        ("Dot", (13,), "active"),
        ("Eli", (), "active"),
    ):
        customer = admin.customer(name)
        for quantity in quantities:
            ordered(admin, customer, tea, quantity)
        if name == "Eli":
            ordered(admin, customer, tea, 99, "placed")
        admin.patch(f"/customers/{customer['id']}", {"status": status}, If_Match="*")
    today = admin.get("/customers", limit=1).json["items"][0]["created_at"][:10]
    asked = {
        "status": "active",
        "created_at[gte]": today,
        "created_at[lte]": today,
        "orders.status": "completed",
        "orders.total[gt]": "10000",
        "include": "orders",
        "sort": "-created_at",
    }
    first = admin.get("/customers", limit=1, **asked).json
    rest = admin.get("/customers", limit=1, cursor=first["next"], **asked).json
    told = [(each["name"], [o["total"] for o in each["orders"]]) for each in (*first["items"], *rest["items"])]
    assert told == [("Dot", [13000]), ("Ann", [12000, 11000])]
    assert rest["next"] is None


def test_whoever_sees_no_orders_is_told_none_and_finds_nobody_by_them(admin: Shop, alice: Shop) -> None:
    """An include, or a filter on a relation, must not tell what a list of the relation would not."""
    carol = admin.customer("Carol")
    ordered(admin, carol, product(admin, "TEA"), 3)
    admin.patch(f"/customers/{carol['id']}", {"owner_id": str(alice.user_id)}, If_Match="*")
    assert alice.get("/customers", include="orders").json["items"][0]["orders"] == []
    assert alice.get("/customers", **{"orders.total[gt]": 1}).json["items"] == []


@pytest.mark.parametrize("customers", [1, 8])
def test_a_list_with_includes_asks_as_much_for_one_as_for_many(admin: Shop, customers: int) -> None:
    tea = product(admin, "TEA")
    for number in range(customers):
        ordered(admin, admin.customer(f"C{number}"), tea, 2)
    with statements(admin.client.application) as asked:
        assert admin.get("/customers", include="orders").status_code == 200
        assert admin.get("/orders", include="lines,customer").status_code == 200
    # The rows, and one for each include; session and roles are remembered.
    assert len(asked) == 5 and all("commerce_" in each for each in asked), asked
