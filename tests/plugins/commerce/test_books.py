"""The ledger beside a plain one, the statement of an account, and the command that checks the books."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from click.testing import Result
from flask import Flask
from hypothesis import HealthCheck, given, settings, strategies as st
from shop import Shop

from core.data import db, unit
from core.errors import Refused
from core.ops.processes import Process
from plugins.commerce.api import Move
from plugins.commerce.models import Account
from plugins.commerce.services import books
from plugins.commerce.services.ledger import DoubleEntry

# -- beside a plain ledger ----------------------------------------------------------------------------------------

NOBODYS = 9  # the number of an account that is not there
CLOSED = 3

moves = st.lists(
    st.tuples(st.integers(0, 3) | st.just(NOBODYS), st.integers(-50, 50)), min_size=1, max_size=4
) | st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 60)).map(
    lambda each: [(each[0], -each[2]), (each[1], each[2])]
)
postings = st.lists(st.tuples(moves, st.sampled_from((None, None, "a", "b"))), max_size=12)


class PlainLedger:
    """What the ledger should come to: balances in a dictionary, and the code of each refusal."""

    def __init__(self) -> None:
        self.balances: dict[int, int] = defaultdict(int)
        self.references: dict[str, set[tuple[int, int]]] = {}

    def post(self, asked: list[tuple[int, int]], reference: str | None) -> str | None:
        ids = [number for number, _ in asked]
        amounts = [amount for _, amount in asked]
        if len(set(ids)) < len(ids) or 0 in amounts or len(asked) < 2 or sum(amounts):
            return "VALIDATION_FAILED"
        for number in ids:
            if number in (NOBODYS, CLOSED):
                return "NOT_FOUND" if number == NOBODYS else "ACCOUNT_CLOSED"
        if reference in self.references:
            return None if self.references[reference] == set(asked) else "REFERENCE_REUSED"
        if any(number != 0 and amount < 0 and self.balances[number] + amount < 0 for number, amount in asked):
            return "INSUFFICIENT_FUNDS"
        for number, amount in asked:
            self.balances[number] += amount
        if reference is not None:
            self.references[reference] = set(asked)
        return None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=postings)
def test_postings_come_to_what_a_plain_ledger_says(ctx: Flask, asked: Any) -> None:
    names = uuid4().hex
    with unit():
        accounts = [Account(name=str(number), currency="EUR", overdraft=number == 0) for number in range(4)]
        accounts[CLOSED].status = "closed"
        db.session.add_all(accounts)
        db.session.flush()
        ids = {number: account.id for number, account in enumerate(accounts)} | {NOBODYS: uuid4()}
    plain = PlainLedger()
    for wanted, name in asked:
        reference = name and f"{names}:{name}"
        told = plain.post(wanted, reference)
        try:
            with unit():
                made = [Move(ids[number], amount) for number, amount in wanted]
                DoubleEntry().post(made, kind="test", reference=reference)
            code = None
        except Refused as refusal:
            code = refusal.code.name
        assert code == told, (wanted, name)
    with unit():
        for number in range(4):
            assert DoubleEntry().balance_of(ids[number]) == plain.balances[number]
        assert books.check().faults == []


# -- once -----------------------------------------------------------------------------------------------------------


def account(admin: Shop, name: str, balance: int = 0, **more: Any) -> str:
    made = admin.post("/accounts", {"name": name, "currency": "EUR", "opening_balance": balance, **more})
    assert made.status_code == 201, made.text
    return str(made.json["id"])


def test_twenty_at_once_with_one_key_move_money_once(admin: Shop, process: Callable[..., Process]) -> None:
    web = process("web", WEB_CONCURRENCY="2", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    one, two = account(admin, "One", 1000), account(admin, "Two")
    body = {"from_account_id": one, "to_account_id": two, "amount": 7}
    headers = {**admin.headers, "Idempotency-Key": "rent-of-May"}

    def send(_: int) -> tuple[int, str]:
        reply = httpx.post(f"{web.url}/api/commerce/transfers", json=body, headers=headers, timeout=60)
        return reply.status_code, reply.json().get("id") or reply.json()["code"]

    with ThreadPoolExecutor(20) as pool:
        told = set(pool.map(send, range(20)))
    told.discard((409, "IDEMPOTENCY_IN_PROGRESS"))
    assert len(told) == 1 and next(iter(told))[0] == 201, told
    assert send(0) in told, "whoever was told to wait gets the same transfer"
    assert admin.get(f"/accounts/{two}").json["balance"] == 7


# -- statements -----------------------------------------------------------------------------------------------------


def test_a_statement_tells_every_step_of_an_account(admin: Shop, alice: Shop) -> None:
    hers, other = account(admin, "Alice", 100, owner_id=str(alice.user_id)), account(admin, "Other", 100)
    for amount in (5, 6, 7):
        sent = {"from_account_id": other, "to_account_id": hers, "amount": amount, "memo": f"lesson {amount}"}
        assert admin.post("/transfers", sent).status_code == 201
    first = alice.get(f"/accounts/{hers}/entries", limit=3).json
    rest = alice.get(f"/accounts/{hers}/entries", limit=3, cursor=first["next"]).json
    lines = [*first["items"], *rest["items"]]
    assert [(each["amount"], each["balance"]) for each in lines] == [(7, 118), (6, 111), (5, 105), (100, 100)]
    told = [("transfer", "lesson 5"), ("opening", "Opening balances")]
    assert [(each["kind"], each["memo"]) for each in lines[2:]] == told
    assert rest["next"] is None
    assert alice.get(f"/accounts/{other}/entries").status_code == 403
    assert admin.get(f"/accounts/{uuid4()}/entries").status_code == 404


# -- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def check(board: Flask) -> Callable[[], Result]:
    from plugins.commerce.cli import commerce

    board.cli.add_command(commerce)
    runner = board.test_cli_runner()
    return lambda: runner.invoke(args=["commerce", "ledger", "check"])


def test_books_that_are_in_order(admin: Shop, check: Callable[[], Result]) -> None:
    account(admin, "One", 1000)
    told = check()
    assert told.exit_code == 0, told.output
    assert "default: 2 accounts, 1 postings: in order" in told.output


def test_books_that_are_wrong_are_named(
    admin: Shop, check: Callable[[], Result], superuser: psycopg.Connection[Any]
) -> None:
    one, two = account(admin, "One", 1000), account(admin, "Two", 500)
    superuser.execute("update commerce_accounts set balance = 990 where id = %s", (one,))
    told = check()
    assert told.exit_code == 1
    assert f"account {one}: its balance is 990, and its entries sum to 1000" in told.output
    assert two not in told.output
    superuser.execute("update commerce_accounts set balance = 1000 where id = %s", (one,))
    superuser.execute("set session_replication_role = replica")
    try:
        superuser.execute("update commerce_entries set amount = 600, balance = 501 where account_id = %s", (two,))
        told = check()
    finally:
        superuser.execute("set session_replication_role = origin")
    wanted = "select id, posting_id from commerce_entries where account_id = %s"
    entry, posting = superuser.execute(wanted, (two,)).fetchone() or (None, None)
    assert f"posting {posting}: its 2 entries sum to 100, and not to 0" in told.output
    assert f"entry {entry} of account {two}" in told.output
    assert told.exit_code == 1
