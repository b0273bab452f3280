"""A million rows: the page at 95 % of the way costs what the first one costs."""

from __future__ import annotations

import statistics
import time
from typing import Any

import psycopg
import pytest
from flask import Flask
from shop import administrator

from core.data import DEFAULT

ROWS = 1_000_000
FILL = """
    insert into commerce_customers (id, tenant_id, name, email, status, tags, version, created_at, updated_at)
    select gen_random_uuid(), %s, 'Customer ' || n, n || '@example.com', 'active', '{}', 1,
        now() - n * interval '1 second', now()
    from generate_series(1, %s) n
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("sort", ["-created_at", "name"])
def test_a_deep_page_costs_what_the_first_one_does(
    board: Flask, superuser: psycopg.Connection[Any], sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = administrator(board)
    superuser.execute(FILL, (DEFAULT.id, ROWS))
    superuser.execute("vacuum analyze commerce_customers")
    column = sort.removeprefix("-")
    way = "desc" if sort.startswith("-") else "asc"
    place = superuser.execute(
        f"select id, {column} from commerce_customers order by {column} {way}, id {way} offset %s limit 1",
        (int(ROWS * 0.95),),
    ).fetchone()
    assert place is not None
    # The cursor of that place, as the list itself would have handed it out after 47,500 pages.
    first = admin.get("/customers", sort=sort, limit=20).json
    with board.app_context():
        import msgspec

        from core.trust import secrets
        from core.web.pages import seal_place

        bound_to, _ = msgspec.json.decode(secrets.verify("cursor", first["next"]), type=tuple[str, list[Any]])
        deep = seal_place(bound_to, [place[1], place[0]])

    def took(**query: str) -> float:
        began = time.perf_counter()
        reply = admin.get("/customers", sort=sort, limit=20, **query)
        assert len(reply.json["items"]) == 20
        return time.perf_counter() - began

    at_first, at_depth = [], []
    for _ in range(60):
        at_first.append(took())
        at_depth.append(took(cursor=deep))
    ratio = statistics.median(at_depth) / statistics.median(at_first)
    print(f"{sort}: first page {statistics.median(at_first) * 1000:.2f} ms, at 95 % {ratio:.2f} × that")
    assert ratio <= 1.5
