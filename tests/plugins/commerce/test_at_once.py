"""Many at one row, and rows that come while somebody reads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from shop import Shop

from core.ops.processes import Process


def test_of_a_hundred_writers_with_one_etag_one_succeeds(admin: Shop, process: Callable[..., Process]) -> None:
    web = process("web", WEB_CONCURRENCY="2", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    carol = admin.customer("Carol")
    at = f"{web.url}/api/commerce/customers/{carol['id']}"
    tag = admin.get(f"/customers/{carol['id']}").headers["ETag"]

    def write(number: int) -> tuple[int, str]:
        headers = {**admin.headers, "If-Match": tag}
        reply = httpx.patch(at, json={"name": f"Writer {number}"}, headers=headers, timeout=60)
        return reply.status_code, reply.json().get("name", "")

    with ThreadPoolExecutor(100) as pool:
        told = list(pool.map(write, range(100)))
    [winner] = [name for status, name in told if status == 200]
    assert sorted(status for status, _ in told) == [200, *[412] * 99]
    now = admin.get(f"/customers/{carol['id']}").json
    assert (now["name"], now["version"]) == (winner, carol["version"] + 1)
    assert len(admin.get(f"/customers/{carol['id']}/history").json["items"]) == 2


def test_rows_that_come_and_go_during_a_walk_lose_and_repeat_none(
    admin: Shop, superuser: psycopg.Connection[Any]
) -> None:
    """Those that were there all the time are told once each, whatever is put before, between and behind them."""
    text = "name,email\n" + "".join(f"Customer {n:04d},c{n}@example.com\n" for n in range(400))
    at = f"/api/commerce/customers/imports/{uuid4()}"
    admin.client.put(at, data=text, headers={**admin.headers, "Content-Type": "text/csv"})
    going = [row[0] for row in superuser.execute("select name from commerce_customers where name like '%7'")]
    for sort in ("name", "-name", "created_at", "-created_at"):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        for number in range(100):
            reply = admin.get("/customers", limit=37, sort=sort, fields="name", **cursor).json
            seen += [each["name"] for each in reply["items"]]
            if reply["next"] is None:
                break
            cursor = {"cursor": reply["next"]}
            for where in ("Customer 0", "Zed ", "Aaron "):
                admin.customer(f"{where}{sort} {number}", email=f"{uuid4().hex}@example.com")
            if going:
                superuser.execute("delete from commerce_customers where name = %s", (going.pop(),))
        else:
            raise AssertionError("the walk did not end")
        stable = [name for name in seen if name.startswith("Customer 0") and len(name) == 13 and name[-1] != "7"]
        assert len(stable) == len(set(stable)) == 360, sort
        assert len(seen) == len(set(seen)), sort
