"""Ten thousand transfers by 64 clients, also while workers are killed: every cent is accounted for."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest
from flask import Flask
from shop import administrator

from core.ops.processes import Process

CLIENTS, TRANSFERS = 64, 10_000
ADDS_UP = """
    select (select sum(balance) from commerce_accounts),
        (select count(*) from commerce_postings p
            where (select sum(amount) from commerce_entries e where e.posting_id = p.id) is distinct from 0),
        (select count(*) from commerce_accounts a where balance <>
            (select coalesce(sum(amount), 0) from commerce_entries e where e.account_id = a.id)),
        (select count(*) from commerce_transfers t where not exists
            (select from commerce_postings p where p.id = t.posting_id))
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("killed", [False, True])
def test_every_cent_is_accounted_for(
    board: Flask, process: Callable[..., Process], superuser: psycopg.Connection[Any], killed: bool
) -> None:
    admin = administrator(board)
    accounts = [
        admin.post("/accounts", {"name": name, "currency": "EUR", "opening_balance": 100_000}).json["id"]
        for name in ("A", "B", "C", "D", "E")
    ]
    web = process("web", WEB_CONCURRENCY="2", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = superuser.execute(deadlocks).fetchone()
    over = threading.Event()

    def fire() -> None:
        while killed and not over.wait(1.5):
            workers = Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split()
            if workers:
                os.kill(int(workers[0]), signal.SIGKILL)

    def some(seed: int) -> list[int]:
        dice, told = Random(seed), []
        with httpx.Client(base_url=web.url, headers=admin.headers, timeout=60) as client:
            for number in range(TRANSFERS // CLIENTS + (seed < TRANSFERS % CLIENTS)):
                source, target = dice.sample(accounts, 2)
                body = {"from_account_id": source, "to_account_id": target, "amount": dice.randint(1, 30_000)}
                while True:
                    try:
                        key = {"Idempotency-Key": f"{seed}-{number}"}
                        status = client.post("/api/commerce/transfers", json=body, headers=key).status_code
                    except httpx.TransportError:
                        time.sleep(0.05)
                        continue
                    if not (killed and status in (409, 503)) or status == 409:
                        told.append(status)
                        break
        return told

    threading.Thread(target=fire, daemon=True).start()
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        told = [status for statuses in pool.map(some, range(CLIENTS)) for status in statuses]
    over.set()
    assert len(told) == TRANSFERS and set(told) <= {201, 409}
    assert superuser.execute(ADDS_UP).fetchone() == (0, 0, 0, 0)
    kept = superuser.execute("select count(*) from commerce_transfers").fetchone()
    assert kept == (told.count(201),), "each that was acknowledged is there once"
    assert superuser.execute(deadlocks).fetchone() == before
    print(f"{TRANSFERS} in {time.monotonic() - began:.0f} s, {told.count(201)} done, {told.count(409)} refused")
