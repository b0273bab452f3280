"""A whole board, real processes and servers of its own: killed in turn, it comes back and loses nothing."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from whole_house import PASSWORD, House, eventually, house

__all__ = ["house"]


def test_a_job_reaches_the_worker(house: House) -> None:
    token = house.register()
    eventually(lambda: house.welcomed(token))


def test_without_redis_register_still_answers_and_its_job_runs_later(house: House) -> None:
    assert house.servers.valkey
    house.servers.valkey.kill()
    try:
        token = house.register()
        assert house.ask("GET", "/livez")[0] == 200
        status, ready, _ = house.ask("GET", "/readyz")
        assert status == 200, "only the database is needed to serve"
        assert '"redis"' in json.dumps(ready) and "down" in json.dumps(ready)
        assert not house.welcomed(token)
    finally:
        house.servers.valkey.start()
    eventually(lambda: house.welcomed(token))


def test_without_the_database_503_and_back_by_itself(house: House) -> None:
    assert house.servers.postgres
    token = house.register()
    house.servers.postgres.kill()
    try:
        status, problem, headers = house.ask("GET", "/api/auth/me", token=token)
        assert (status, problem["code"]) == (503, "DATABASE_UNAVAILABLE")
        assert int(headers["Retry-After"]) > 0
        assert house.ask("GET", "/livez")[0] == 200
        assert house.ask("GET", "/openapi.json")[0] == 200
        status, ready, _ = house.ask("GET", "/readyz")
        assert status == 503
        assert "database" in json.dumps(ready)
    finally:
        house.servers.postgres.start()
    eventually(lambda: house.ask("GET", "/api/auth/me", token=token)[0] == 200)
    eventually(lambda: house.welcomed(token))
    later = house.register()
    eventually(lambda: house.welcomed(later))


def test_a_web_process_killed_right_after_the_commit_loses_no_job(house: House) -> None:
    """Valkey is frozen, so that the process is caught between its commit and handing the job over."""
    assert house.servers.valkey and house.servers.valkey.pid
    email = f"alice+{secrets.token_hex(6)}@example.com"
    body = {"email": email, "password": PASSWORD, "display_name": "Alice"}
    house.ask("GET", "/livez")
    os.kill(house.servers.valkey.pid, signal.SIGSTOP)
    try:
        script = (
            "import sys, json, urllib.request as r\n"
            "url, body = sys.argv[1:]\n"
            "r.urlopen(r.Request(url, body.encode(), {'Content-Type': 'application/json'}), timeout=20)"
        )
        caller = subprocess.Popen(
            [sys.executable, "-c", script, f"{house.web.url}/api/auth/register", json.dumps(body)],
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: _accounts(house, email) == 1)
        house.web.kill()
        caller.wait(20)
    finally:
        os.kill(house.servers.valkey.pid, signal.SIGCONT)
    house.web.start()
    house.web.wait_ready()
    status, reply, _ = house.ask("POST", "/api/auth/login", {"email": email, "password": PASSWORD})
    assert status == 200, reply
    eventually(lambda: house.welcomed(reply["access_token"]))


def _accounts(house: House, email: str) -> int:
    import psycopg

    base = house.servers.superuser_url.rpartition("/")[0]
    with psycopg.connect(f"{base}/pegboard_test_0") as admin:
        row = admin.execute("select count(*) from auth_users where email = %s", (email,)).fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("kind", ["worker", "scheduler", "web"])
def test_a_killed_process_starts_again_and_goes_on(house: House, kind: str) -> None:
    """A job that is *running* when its worker is killed may be lost, until jobs are leased; no other may."""
    process = getattr(house, kind)
    token = house.register()
    if kind == "worker":
        eventually(lambda: house.welcomed(token))
    process.kill()
    if kind != "web":
        later = house.register()
    process.start()
    process.wait_ready()
    if kind == "web":
        later = house.register()
    for waiting in (token, later):
        eventually(lambda waiting=waiting: house.welcomed(waiting))  # type: ignore[misc]


def test_a_killed_web_worker_is_replaced(house: House) -> None:
    children = Path(f"/proc/{house.web.pid}/task/{house.web.pid}/children")
    before = [int(child) for child in children.read_text().split()]
    assert before
    for child in before:
        os.kill(child, signal.SIGKILL)
    eventually(lambda: bool(set(map(int, children.read_text().split())) - set(before)))
    eventually(lambda: _answers(house))


def _answers(house: House) -> bool:
    try:
        return house.ask("GET", "/livez")[0] == 200
    except OSError:
        return False


def test_nothing_of_all_this_left_a_stack_or_a_secret_in_a_log(house: House) -> None:
    for process in house.processes:
        log = process.log()
        assert PASSWORD not in log
        assert process.environ["SECRET_KEYS"] not in log
    assert '"INTERNAL"' not in house.web.log()


def test_every_process_leaves_on_sigterm(house: House) -> None:
    assert {process.kind: process.stop() for process in house.processes} == {"web": 0, "worker": 0, "scheduler": 0}
