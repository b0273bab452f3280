"""Whatever a client writes into a list's query string stays a value: it finds what is equal to it, and nothing else.

Every parameter of every resource on this board gets texts from a corpus of injections and from hypothesis. None may
come out as a row that does not match, as a 5xx, or as another statement.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings, strategies as st
from shop import Shop, administrator
from statements import statements

CORPUS = [
    "' or '1'='1",
    "'; drop table commerce_customers; --",
    "') or 1=1 --",
    "%' or name like '%",
    "\\' or 1=1 --",
    "1; select pg_sleep(3)",
    "x' union select id, tenant_id from auth_users --",
    "%(tenant)s",
    "%s",
    ":tenant",
    "{0}",
    "${jndi:x}",
    "$$; select 1; $$",
    "active' and pg_sleep(3) is null --",
    "\u02bc or 1=1",
    "a & b | !c <-> d:*",
    "'a' & ",
    "((((",
    "null",
    "created_at); --",
    "-name; drop table x",
    "[]",
    "{a,b}",
    'a","b',
    "../../etc/passwd",
    "\ud7ff",
]
PARAMETERS = (
    *("email", "email[ne]", "email[in]", "status", "status[in]", "tags", "tags[in]", "owner_id", "owner_id[null]"),
    *("created_at[gt]", "created_at[gte]", "created_at[lt]", "created_at[lte]"),
    *("orders.status", "orders.total[gt]", "orders.currency", "orders.currency[in]", "orders.created_at[lte]"),
    *("search", "sort", "fields", "include", "cursor", "limit", "count", "deleted", "name", "tenant_id", "id"),
)
SECRET = "hidden-name"


@pytest.fixture
def shop(board: Flask) -> Shop:
    admin = administrator(board)
    admin.customer(SECRET, tags=["t"])
    return admin


def ask(shop: Shop, parameter: str, text: str) -> Any:
    return shop.client.get("/api/commerce/customers", query_string={parameter: text}, headers=shop.headers)


def harmless(shop: Shop, parameter: str, text: str) -> None:
    reply = ask(shop, parameter, text)
    assert reply.status_code in (200, 400, 422), (parameter, text, reply.text)
    if reply.status_code == 200 and parameter in ("email", "email[in]", "tags", "tags[in]", "orders.currency"):
        expected = {"t"} & set(text.split(",") if parameter == "tags[in]" else [text]) if "tags" in parameter else set()
        expected |= {"x"} & ({"x"} if text == f"{SECRET}@example.com" else set())
        assert bool(reply.json["items"]) is bool(expected), (parameter, text)
    if parameter in ("name", "tenant_id", "id"):
        assert reply.status_code == 422, "a field that nobody allowed cannot be asked about"


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_the_corpus_stays_a_value(shop: Shop, superuser: psycopg.Connection[Any], parameter: str) -> None:
    for text in CORPUS:
        harmless(shop, parameter, text)
        harmless(shop, f"{parameter}{text}"[:100], "x") if parameter == "email" else None
    assert superuser.execute("select count(*) from commerce_customers").fetchone() == (1,)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parameter=st.sampled_from(PARAMETERS), text=st.text(max_size=60))
@example(parameter="search", text="\x00")
@example(parameter="email", text="\x00")
@example(parameter="tags[in]", text=",,,")
def test_any_text_stays_a_value(shop: Shop, parameter: str, text: str) -> None:
    harmless(shop, parameter, text)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(min_size=1, max_size=40))
def test_a_parameter_that_nobody_declared_is_refused(shop: Shop, name: str) -> None:
    if name not in PARAMETERS:
        assert ask(shop, name, "1").status_code in (400, 422)


def test_every_value_is_sent_apart_from_its_statement(shop: Shop) -> None:
    """The statements that a hostile query string becomes are those of a tame one, to the letter."""

    def sent(text: str) -> list[str]:
        with statements(shop.client.application) as seen:
            for parameter in ("email", "tags", "tags[in]", "search", "orders.currency"):
                ask(shop, parameter, text)
        return seen

    tame = sent("word")
    assert len(tame) >= 5
    assert all(sent(text) == tame for text in CORPUS if "," not in text)
