"""The welcome that a background task leaves: once, in the app and by mail, whatever is away meanwhile."""

from __future__ import annotations

import email
import email.policy
import json
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from auth_helpers import PASSWORD, SignUp, bearer
from flask import Flask
from flask.testing import FlaskClient

from core.background import enqueue
from core.background.queue import drain
from core.config import settings
from core.ops.embedded import Servers, start
from core.ops.processes import Process

ALICE = {"email": "alice@example.com", "password": PASSWORD, "display_name": "Alice"}


def mails(folder: Path) -> list[Any]:
    return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in folder.glob("*.eml")]


@pytest.fixture
def mailbox(board: Flask) -> Path:
    with board.app_context():
        folder = Path(settings().instance_dir).resolve() / "mail"
    for path in folder.glob("*.eml"):
        path.unlink()
    return folder


def test_a_new_user_is_welcomed_in_the_app_and_by_mail(
    client: FlaskClient, sign_up: SignUp, run_jobs: Callable[[], int], mailbox: Path
) -> None:
    token = bearer(sign_up()["access_token"])
    assert client.get("/api/notifications", headers=token).get_json()["items"] == []
    assert run_jobs() == 2
    (welcome,) = client.get("/api/notifications", headers=token).get_json()["items"]
    assert welcome["kind"] == "auth.welcome"
    assert "Alice" in welcome["text"]
    (mail,) = mails(mailbox)
    assert mail["To"] == "alice@example.com"
    assert mail["Subject"] == "Welcome"
    assert mail.get_content().strip() == welcome["text"]


@pytest.mark.parametrize("address", ["alice@bücher.example", "o'neil+tag@example.com", "{a}|b~@example.com"])
def test_every_address_that_may_register_can_be_mailed(
    sign_up: SignUp, run_jobs: Callable[[], int], mailbox: Path, address: str
) -> None:
    sign_up(address)
    run_jobs()
    assert len(mails(mailbox)) == 1


def test_a_job_that_runs_twice_welcomes_once(
    ctx: Flask, client: FlaskClient, sign_up: SignUp, run_jobs: Callable[[], int], mailbox: Path
) -> None:
    signed_in = sign_up()
    run_jobs()
    enqueue("auth.send_welcome", user_id=UUID(signed_in["user"]["id"]))
    run_jobs()
    listed = client.get("/api/notifications", headers=bearer(signed_in["access_token"])).get_json()
    assert len(listed["items"]) == 1
    enqueue("core.notify_mail", notification_id=UUID(listed["items"][0]["id"]))
    run_jobs()
    assert len(mails(mailbox)) == 1


def test_who_was_refused_is_not_welcomed(client: FlaskClient, sign_up: SignUp, run_jobs: Callable[[], int]) -> None:
    sign_up()
    run_jobs()
    assert client.post("/api/auth/register", json=ALICE).status_code == 409
    assert run_jobs() == 0


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Servers]:
    """A Valkey that this test may stop."""
    servers = start(tmp_path / "servers", durable=True, only=("valkey",))
    yield servers
    servers.stop()


def test_with_valkey_stopped_registering_works_and_the_welcome_comes_later(
    board: Flask,
    make_board: Callable[..., Flask],
    own_valkey: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As far as one process shows it; tests/core/test_recovery.py does the same to a whole board."""
    monkeypatch.setenv("REDIS_URL", own_valkey.redis_url)
    monkeypatch.setenv("INSTANCE_DIR", str(tmp_path / "instance"))
    client, worker = make_board("web").test_client(), make_board("worker")
    assert own_valkey.valkey is not None
    own_valkey.valkey.kill()
    reply = client.post("/api/auth/register", json=ALICE)
    assert reply.status_code == 201
    token = bearer(reply.get_json()["access_token"])
    assert client.post("/api/auth/login", json={"email": ALICE["email"], "password": PASSWORD}).status_code == 200
    assert client.get("/api/notifications", headers=token).get_json() == {"items": [], "next": None}
    own_valkey.valkey.start()
    assert drain(worker) == 2
    (welcome,) = client.get("/api/notifications", headers=token).get_json()["items"]
    assert welcome["kind"] == "auth.welcome"
    assert len(mails(tmp_path / "instance" / "mail")) == 1


# -- a real process -----------------------------------------------------------------------------------------------


def ask(url: str, body: Any = None, token: str = "", forwarded: str = "") -> tuple[int, Any]:
    """Status and decoded body; POST with a body."""
    headers = {"Content-Type": "application/json"} | (bearer(token) if token else {})
    if forwarded:
        headers["X-Forwarded-For"] = forwarded
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, json.loads(problem.read())


def test_others_are_served_while_many_log_in(
    process: Callable[..., Process], superuser: psycopg.Connection[Any]
) -> None:
    """A log-in storm against one process with two hashing threads and two database connections."""
    web = process("web", TRUSTED_PROXIES="1", DATABASE_POOL="2", RATE_LIMIT="0")
    status, signed_in = ask(f"{web.url}/api/auth/register", ALICE, forwarded="192.0.2.1")
    assert status == 201
    token = signed_in["access_token"]
    over = time.monotonic() + 3
    answers: list[int] = []
    log_ins: list[float] = []

    def storm(number: int) -> None:
        attempts = 0
        while time.monotonic() < over:
            attempts += 1
            body = {"email": f"user{number}-{attempts}@example.com", "password": PASSWORD}
            began = time.monotonic()
            answers.append(ask(f"{web.url}/api/auth/login", body, forwarded=f"198.51.100.{number}")[0])
            log_ins.append(time.monotonic() - began)

    with ThreadPoolExecutor(8) as pool:
        storms = [pool.submit(storm, number) for number in range(8)]
        waits = []
        while time.monotonic() < over:
            began = time.monotonic()
            assert ask(f"{web.url}/api/auth/me", token=token)[0] == 200
            waits.append(time.monotonic() - began)
        for each in storms:
            each.result()
    assert set(answers) == {401}
    assert len(answers) >= 12, "the storm was a breeze"
    # Eight in a queue for two threads wait several hashes long; who hashes nothing waits for none of them.
    waiting, hashing = statistics.median(waits), statistics.median(log_ins)
    assert waiting < hashing / 2, f"{waiting:.3f} s of {len(waits)}, beside {hashing:.3f} s of {len(answers)} log-ins"
    open_transactions = "select count(*) from pg_stat_activity where state like 'idle in transaction%%'"
    assert superuser.execute(f"{open_transactions} and datname = current_database()").fetchone() == (0,)
