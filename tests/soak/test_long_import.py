"""A hundred thousand rows in: each once although the server is killed, and in no more memory than five thousand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from flask import Flask
from import_kills import each_once, import_under_fire, peak, rows
from shop import administrator

from core.ops.processes import Process

TOTAL = 100_000


@pytest.mark.timeout(900)
def test_each_row_once_however_often_the_server_is_killed(
    board: Flask, process: Callable[..., Process], superuser: psycopg.Connection[Any]
) -> None:
    web = process("web", WEB_CONCURRENCY="1", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    again = import_under_fire(web, administrator(board).headers, superuser, TOTAL, kills=12, seed=3)
    assert again >= 8
    each_once(superuser, TOTAL)


@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_the_file(board: Flask, process: Callable[..., Process]) -> None:
    web = process("web", WEB_CONCURRENCY="1", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    peaks = []
    with httpx.Client(base_url=web.url, headers=administrator(board).headers, timeout=300) as client:
        for first, total in ((0, 5_000), (5_000, 100_000)):
            at = f"/api/commerce/customers/imports/{uuid4()}"
            body = [*rows(first, total)]
            reply = client.put(at, content=iter(body), headers={"Content-Type": "text/csv"})
            assert reply.json()["created"] == total - first, reply.text
            with client.stream("GET", "/api/commerce/customers/export") as file:
                told = sum(chunk.count(b"\n") for chunk in file.iter_raw())
            assert told == total + 1
            peaks.append(peak(web.pid))
    print(f"peak resident size after 5,000 rows {peaks[0] / 1024:.0f} MiB, after 100,000 {peaks[1] / 1024:.0f} MiB")
    assert peaks[1] - peaks[0] < 16 * 1024
