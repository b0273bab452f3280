"""Money: what is refused leaves everything as it was, and what is done is done once and adds up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from shop import Shop

from core.contracts import service
from core.data import db, unit
from core.errors import Refused
from core.ops.processes import Process
from plugins.commerce.api import Ledger, Move
from plugins.commerce.models import Entry, Posting

ADDS_UP = """
    select (select coalesce(sum(balance), 0) from commerce_accounts),
        (select count(*) from commerce_postings p
            where (select sum(amount) from commerce_entries e where e.posting_id = p.id) is distinct from 0),
        (select count(*) from commerce_accounts a where balance <>
            (select coalesce(sum(amount), 0) from commerce_entries e where e.account_id = a.id))
"""


def account(admin: Shop, name: str, balance: int = 0, **more: Any) -> str:
    body = {"name": name, "currency": "EUR", "opening_balance": balance, **more}
    made = admin.post("/accounts", body)
    assert made.status_code == 201, made.text
    assert made.json["balance"] == balance
    return str(made.json["id"])


def balance(shop: Shop, id: str) -> int:
    return int(shop.get(f"/accounts/{id}").json["balance"])


def move(shop: Shop, source: str, target: str, amount: Any, **headers: str) -> Any:
    return shop.post("/transfers", {"from_account_id": source, "to_account_id": target, "amount": amount}, **headers)


def test_a_transfer_moves_money_and_is_in_the_books(admin: Shop, superuser: psycopg.Connection[Any]) -> None:
    one, two = account(admin, "One", 1000), account(admin, "Two")
    tag = admin.get(f"/accounts/{one}").headers["ETag"]
    made = move(admin, one, two, 250)
    assert (made.status_code, made.json["amount"], made.json["currency"]) == (201, 250, "EUR")
    assert admin.get(made.headers["Location"]).json == made.json
    assert (balance(admin, one), balance(admin, two)) == (750, 250)
    assert admin.get(f"/accounts/{one}").headers["ETag"] != tag, "a client that has the old balance must not keep it"
    entries = admin.get(f"/accounts/{one}", include="entries").json["entries"]
    assert [(each["amount"], each["balance"]) for each in entries] == [(-250, 750), (1000, 1000)]
    assert superuser.execute(ADDS_UP).fetchone() == (0, 0, 0)


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [(1001, 409, "INSUFFICIENT_FUNDS"), (0, 422, "VALIDATION_FAILED"), (-5, 422, "VALIDATION_FAILED")]
    + [(value, 422, "VALIDATION_FAILED") for value in (1.5, "5", None, True, 10**16)],
)
def test_an_amount_that_cannot_be_moved(admin: Shop, amount: Any, status: int, code: str) -> None:
    one, two = account(admin, "One", 1000), account(admin, "Two")
    reply = move(admin, one, two, amount)
    assert (reply.status_code, reply.json["code"]) == (status, code)
    assert (balance(admin, one), balance(admin, two)) == (1000, 0)


def test_accounts_that_money_cannot_go_between(admin: Shop) -> None:
    one, dollars, closed = (
        account(admin, "One", 1000),
        account(admin, "Dollars", currency="USD"),
        account(admin, "Closed"),
    )
    admin.patch(f"/accounts/{closed}", {"status": "closed"}, If_Match="*")
    assert move(admin, one, one, 5).json["errors"][0]["field"] == "$.to_account_id"
    assert move(admin, one, str(uuid4()), 5).json["code"] == "NOT_FOUND"
    assert move(admin, str(uuid4()), one, 5).json["code"] == "NOT_FOUND"
    assert move(admin, one, dollars, 5).status_code == 422
    assert move(admin, one, closed, 5).json["code"] == "ACCOUNT_CLOSED"
    assert admin.patch(f"/accounts/{one}", {"status": "closed"}, If_Match="*").json["code"] == "CONFLICT"
    assert balance(admin, one) == 1000


def test_nobody_moves_what_is_not_theirs(admin: Shop, alice: Shop) -> None:
    hers, other = account(admin, "Alice", 100, owner_id=str(alice.user_id)), account(admin, "Other", 100)
    assert move(alice, other, hers, 5).json["code"] == "NOT_FOUND"
    assert move(alice, hers, other, 5).status_code == 201
    assert [each["id"] for each in alice.get("/accounts").json["items"]] == [hers]
    assert alice.post("/accounts", {"name": "Mine", "currency": "EUR", "opening_balance": 10**9}).status_code == 403


def test_the_same_key_moves_money_once(admin: Shop) -> None:
    one, two = account(admin, "One", 1000), account(admin, "Two")
    first = move(admin, one, two, 100, Idempotency_Key="rent")
    again = move(admin, one, two, 100, Idempotency_Key="rent")
    assert (again.json, again.headers["Idempotency-Replayed"]) == (first.json, "true")
    assert move(admin, one, two, 101, Idempotency_Key="rent").json["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert balance(admin, two) == 100


def test_a_reference_is_posted_once(admin: Shop, ctx: Any) -> None:
    one, two = account(admin, "One", 1000), account(admin, "Two")
    moves = [Move(account_id=one, amount=-10), Move(account_id=two, amount=10)]  # type: ignore[arg-type]
    moves = [Move(*(type(admin.user_id)(each.account_id), each.amount)) for each in moves]
    ledger = service(Ledger)
    with unit():
        first = ledger.post(moves, kind="payment", reference="pi_1")
    with unit():
        again = ledger.post(moves, kind="payment", reference="pi_1")
        assert (again.id, again.again, ledger.balance_of(moves[1].account_id)) == (first.id, True, 10)
    with pytest.raises(Refused, match="REFERENCE_REUSED"), unit():
        other = [Move(each.account_id, each.amount * 2) for each in moves]
        ledger.post(other, kind="payment", reference="pi_1")


def test_the_database_itself_refuses_books_that_do_not_balance(admin: Shop, ctx: Any) -> None:
    one = type(admin.user_id)(account(admin, "One", 1000))
    with pytest.raises(Exception, match="does not sum to zero"), unit():
        posting = Posting(kind="wrong", currency="EUR")
        db.session.add(posting)
        db.session.flush()
        db.session.add(Entry(posting_id=posting.id, account_id=one, amount=5, balance=1005, version=3))
    with pytest.raises(Exception, match="append-only"), unit():
        db.session.query(Entry).first().amount = 7  # type: ignore[union-attr]


def test_transfers_in_all_directions_at_once(
    admin: Shop, process: Callable[..., Process], superuser: psycopg.Connection[Any]
) -> None:
    accounts = [account(admin, name, 10_000) for name in ("A", "B", "C", "D")]
    web = process("web", WEB_CONCURRENCY="2", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = superuser.execute(deadlocks).fetchone()

    def some(seed: int) -> list[int]:
        dice = Random(seed)
        with httpx.Client(base_url=web.url, headers=admin.headers, timeout=60) as client:
            told = []
            for _ in range(15):
                source, target = dice.sample(accounts, 2)
                body = {"from_account_id": source, "to_account_id": target, "amount": dice.randint(1, 4000)}
                told.append(client.post("/api/commerce/transfers", json=body).status_code)
            return told

    with ThreadPoolExecutor(32) as pool:
        told = [status for statuses in pool.map(some, range(32)) for status in statuses]
    assert set(told) <= {201, 409} and told.count(201) > 200
    assert superuser.execute(ADDS_UP).fetchone() == (0, 0, 0)
    assert superuser.execute(deadlocks).fetchone() == before
    kept = superuser.execute("select count(*) from commerce_transfers").fetchone()
    assert kept == (told.count(201),)
