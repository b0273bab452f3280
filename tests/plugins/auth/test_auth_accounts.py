"""Register, log in, me: the happy path, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from auth_helpers import PASSWORD, SignUp, bearer, code
from flask import Flask
from flask.testing import FlaskClient

from core.contracts import UserDirectory, service
from core.data import DEFAULT, PLATFORM, acting_in, unit
from core.data.models import db
from plugins.auth.hashers import NEW
from plugins.auth.passwords import matches
from plugins.auth.services import accounts, setup_links

ALICE = {"email": "alice@example.com", "password": PASSWORD, "display_name": "Alice"}


def test_who_registers_is_signed_in(client: FlaskClient) -> None:
    reply = client.post("/api/auth/register", json=ALICE)
    assert reply.status_code == 201
    assert reply.headers["Location"] == "/api/auth/me"
    body = reply.get_json()
    assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in", "session_id", "user"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert body["user"] == {"id": body["user"]["id"], "email": "alice@example.com", "display_name": "Alice"}

    me = client.get("/api/auth/me", headers=bearer(body["access_token"]))
    assert me.get_json() == {
        **body["user"],
        "tenant_id": str(DEFAULT.id),
        "roles": ["user"],
        "permissions": me.get_json()["permissions"],
    }


def test_logging_in_again_is_another_session(client: FlaskClient, sign_up: SignUp) -> None:
    first = sign_up()
    reply = client.post("/api/auth/login", json={"email": "Alice@EXAMPLE.com", "password": PASSWORD})
    second = reply.get_json()
    assert reply.status_code == 200
    assert second["user"] == first["user"]
    assert second["session_id"] != first["session_id"]
    assert set(second) == set(first)


@pytest.mark.parametrize(
    "variant", ["alice@example.com", "ALICE@EXAMPLE.COM", " alice@Example.com ", "ａlice@example.com"]
)
def test_case_and_width_make_no_second_account(client: FlaskClient, sign_up: SignUp, variant: str) -> None:
    sign_up()
    assert code(client.post("/api/auth/register", json={**ALICE, "email": variant})) == (409, "EMAIL_TAKEN")


def test_twenty_at_once_make_one_account(board: Flask, superuser: psycopg.Connection[Any]) -> None:
    def register(number: int) -> int:
        body = {**ALICE, "display_name": f"Alice {number}"}
        return int(board.test_client().post("/api/auth/register", json=body).status_code)

    with ThreadPoolExecutor(20) as pool:
        answers = sorted(pool.map(register, range(20)))
    assert answers == [201] + [409] * 19
    assert superuser.execute("select count(*) from auth_users").fetchone() == (1,)


def test_registering_again_with_the_same_key_gets_the_same_answer(
    client: FlaskClient, superuser: psycopg.Connection[Any]
) -> None:
    key = {"Idempotency-Key": "a-lost-reply"}
    first, again = (client.post("/api/auth/register", json=ALICE, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.data == first.data
    assert again.headers["Idempotency-Replayed"] == "true"
    other = client.post("/api/auth/register", json=ALICE | {"display_name": "Eve"}, headers=key)
    assert code(other) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert superuser.execute("select count(*) from auth_users").fetchone() == (1,)
    kept = superuser.execute("select k::text from core_idempotency k").fetchone()
    assert kept and first.get_json()["access_token"] not in kept[0]


def test_one_address_may_have_an_account_in_each_tenant(client: FlaskClient, sign_up: SignUp) -> None:
    here = sign_up()
    with client.application.app_context(), acting_in(PLATFORM):
        there = setup_links.redeem(setup_links.make_link("alice@example.com", "super_admin"), PASSWORD)
    assert str(there.user.id) != here["user"]["id"]
    token = bearer(there.access_token)
    assert client.get("/api/auth/me", headers=token).get_json()["tenant_id"] == str(PLATFORM.id)
    elsewhere = client.get("/api/auth/me", headers=bearer(here["access_token"]) | {"X-Tenant-ID": "platform"})
    assert code(elsewhere) == (403, "TENANT_MISMATCH")


@pytest.mark.parametrize(
    "change",
    [
        {"role": "admin"},
        {"roles": ["admin"]},
        {"active": True},
        {"tenant_id": str(PLATFORM.id)},
        {"password_hash": "x"},
        {"id": "00000000-0000-7000-8000-000000000009"},
        {"email": "nobody"},
        {"email": "alice@example.com\nBcc: eve@example.com"},
        {"email": 5},
        {"email": None},
        {"password": "short"},
        {"password": "x" * 257},
        {"display_name": ""},
        {"display_name": "   "},
        {"display_name": "Alice\nAdmin"},
        {"display_name": "Al\u0000ice"},
        {"display_name": "x" * 101},
    ],
)
def test_what_is_not_asked_for_is_refused(
    client: FlaskClient, superuser: psycopg.Connection[Any], change: dict[str, Any]
) -> None:
    assert code(client.post("/api/auth/register", json=ALICE | change)) == (422, "VALIDATION_FAILED")
    assert superuser.execute("select count(*) from auth_users").fetchone() == (0,)


@pytest.mark.parametrize("password", ["x" * 256, "pässwörd ✓", "n\u0000ul inside", "        "])
def test_every_password_of_fitting_length_is_whole(client: FlaskClient, password: str) -> None:
    reply = client.post("/api/auth/register", json={**ALICE, "password": password})
    if "\u0000" in password:
        assert reply.status_code == 422
        return
    assert reply.status_code == 201
    log_in = {"email": ALICE["email"], "password": password}
    assert client.post("/api/auth/login", json=log_in).status_code == 200
    assert code(client.post("/api/auth/login", json=log_in | {"password": password[:-1]}))[0] == 401


def test_a_password_is_the_same_from_every_keyboard(client: FlaskClient, sign_up: SignUp) -> None:
    sign_up(password="Mu\u0308nchen 1972")
    reply = client.post("/api/auth/login", json={"email": ALICE["email"], "password": "M\u00fcnchen 1972"})
    assert reply.status_code == 200


def test_a_stranger_and_a_wrong_password_get_one_answer_for_the_same_work(
    board: Flask, client: FlaskClient, sign_up: SignUp, hashes: list[str]
) -> None:
    sign_up()
    statements: list[str] = []
    note = lambda *args: statements.append(args[2])  # noqa: E731
    with board.app_context():
        engine = db.engine
    sa.event.listen(engine, "before_cursor_execute", note)

    def attempt(email: str) -> tuple[int, dict[str, Any], dict[str, str], int, list[str]]:
        hashes.clear(), statements.clear()  # type: ignore[func-returns-value]
        reply = client.post("/api/auth/login", json={"email": email, "password": "wrong horse"})
        headers = {k: v for k, v in reply.headers.items() if k not in ("X-Request-ID", "Date")}
        headers = {k: v for k, v in headers.items() if not k.startswith("RateLimit")}
        return reply.status_code, reply.get_json() | {"request_id": ""}, headers, len(hashes), list(statements)

    wrong = attempt("alice@example.com")
    assert hashes[0] != NEW.decoy()
    stranger = attempt("nobody@example.com")
    assert hashes == [NEW.decoy()]
    sa.event.remove(engine, "before_cursor_execute", note)
    assert wrong == stranger
    assert wrong[0] == 401
    assert wrong[1]["code"] == "INVALID_CREDENTIALS"
    assert wrong[3] == 1
    assert "WWW-Authenticate" in wrong[2]


def test_the_decoy_costs_what_a_real_hash_costs(
    board: Flask, superuser: psycopg.Connection[Any], sign_up: SignUp
) -> None:
    sign_up()
    (real,) = superuser.execute("select password_hash from auth_users").fetchone() or ("",)
    assert real.split("$")[:4] == NEW.decoy().split("$")[:4] == ["", "argon2id", "v=19", "m=19456,t=2,p=1"]
    assert [len(part) for part in real.split("$")] == [len(part) for part in NEW.decoy().split("$")]


def test_who_is_switched_off_or_has_no_password_cannot_log_in(
    client: FlaskClient,
    sign_up: SignUp,
    hashes: list[str],
    make_link: Callable[..., str],
    superuser: psycopg.Connection[Any],
) -> None:
    token = sign_up()["access_token"]
    make_link("bob@example.com")
    superuser.execute("update auth_users set active = false where email = 'alice@example.com'")
    for email in ("alice@example.com", "bob@example.com"):
        reply = client.post("/api/auth/login", json={"email": email, "password": PASSWORD})
        assert code(reply) == (401, "INVALID_CREDENTIALS")
    assert len(hashes) == 2
    assert code(client.get("/api/auth/me", headers=bearer(token))) == (401, "TOKEN_INVALID")


def attempt(board: Flask, ip: str, email: str = "alice@example.com", password: str = "wrong horse") -> Any:
    client = board.test_client()
    client.environ_base["REMOTE_ADDR"] = ip
    return client.post("/api/auth/login", json={"email": email, "password": password})


def test_attempts_upon_one_account_are_limited_however_it_is_spelled_and_from_wherever(
    board: Flask, sign_up: SignUp
) -> None:
    sign_up()
    spellings = ["alice@example.com", "Alice@example.com", " ALICE@EXAMPLE.COM"] * 8
    answers = [attempt(board, f"192.0.2.{number}", email) for number, email in enumerate(spellings)]
    assert {reply.status_code for reply in answers[:20]} == {401}
    assert {code(reply) for reply in answers[20:]} == {(429, "TOO_MANY_ATTEMPTS")}
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert attempt(board, "192.0.2.30", "bob@example.com").status_code == 401
    assert attempt(board, "127.0.0.1", password=PASSWORD).status_code == 200, "from where it was registered"


def test_one_network_has_one_bucket(board: Flask, sign_up: SignUp) -> None:
    sign_up()
    answers = [attempt(board, f"2001:db8::{number}", f"user{number % 2}@example.com") for number in range(8)]
    assert {reply.status_code for reply in answers} == {401}
    limits = [reply.headers["RateLimit"] for reply in answers]
    assert '"route";r=6' in limits[7] and '"route";r=9' in limits[0]


def test_who_is_erased_while_signing_in_is_a_stranger(
    board: Flask,
    client: FlaskClient,
    sign_up: SignUp,
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for password in (PASSWORD, "wrong horse"):
        sign_up()

        def slow(given: str, known: str | None) -> bool:
            right = matches(given, known)
            superuser.execute("delete from auth_users")
            return right

        monkeypatch.setattr(accounts, "matches", slow)
        reply = client.post("/api/auth/login", json={"email": "alice@example.com", "password": password})
        assert code(reply) == (401, "INVALID_CREDENTIALS")
        monkeypatch.undo()


def test_me_wants_a_token(client: FlaskClient) -> None:
    assert code(client.get("/api/auth/me")) == (401, "TOKEN_MISSING")
    assert code(client.get("/api/auth/me", headers=bearer("garbage"))) == (401, "TOKEN_INVALID")


def test_neither_hash_nor_password_is_ever_told(
    client: FlaskClient, sign_up: SignUp, caplog: pytest.LogCaptureFixture, superuser: psycopg.Connection[Any]
) -> None:
    with caplog.at_level(logging.DEBUG):
        token = sign_up()["access_token"]
        replies = [
            client.post("/api/auth/register", json=ALICE),
            client.post("/api/auth/login", json={"email": ALICE["email"], "password": PASSWORD}),
            client.post("/api/auth/login", json={"email": ALICE["email"], "password": "wrong horse"}),
            client.get("/api/auth/me", headers=bearer(token)),
        ]
    (real,) = superuser.execute("select password_hash from auth_users").fetchone() or ("",)
    told = " ".join([*(reply.text for reply in replies), caplog.text, *(str(vars(r)) for r in caplog.records)])
    for secret in (real, real.rpartition("$")[2], "argon2", PASSWORD, "wrong horse"):
        assert secret not in told


def test_the_directory_knows_the_people_of_this_tenant(ctx: Flask, sign_up: SignUp) -> None:
    from uuid import UUID, uuid4

    alice, bob = sign_up()["user"], sign_up("bob@example.com", name="Bob")["user"]
    people = service(UserDirectory)
    found = people.by_email("ALICE@example.com")
    assert found is not None
    assert str(found.id) == alice["id"]
    assert found.display_name == "Alice"
    assert found.active
    assert people.by_email("nobody@example.com") is None
    assert people.by_email("no address") is None
    ids = [UUID(alice["id"]), UUID(bob["id"]), uuid4()]
    with unit():
        assert set(people.by_ids(ids)) == set(ids[:2])
    assert people.by_id(ids[2]) is None
    assert people.by_ids([]) == {}


def test_the_directory_sees_no_other_tenant(board: Flask, sign_up: SignUp) -> None:
    sign_up()
    with board.app_context(), acting_in(PLATFORM):
        assert service(UserDirectory).by_email("alice@example.com") is None


@pytest.mark.parametrize("headers", [{"X-Tenant-ID": "platform"}, {"X-Tenant-ID": str(PLATFORM.id)}])
def test_nobody_registers_among_the_staff_of_the_platform(client: FlaskClient, headers: dict[str, str]) -> None:
    body = {"email": "mallory@example.com", "password": PASSWORD, "display_name": "Mallory"}
    reply = client.post("/api/auth/register", json=body, headers=headers)
    assert (reply.status_code, reply.json["code"]) == (403, "SIGNUP_CLOSED")


@pytest.mark.parametrize("name", ["\u200b", "\ufeff", "\u202eevil", "Al\U000e0041ice", "\u3164", "\u2800", "a\nb", " "])
def test_a_name_that_cannot_be_seen_is_refused(client: FlaskClient, name: str) -> None:
    body = {"email": "alice@example.com", "password": PASSWORD, "display_name": name}
    reply = client.post("/api/auth/register", json=body)
    assert (reply.status_code, reply.json["errors"][0]["field"]) == (422, "$.display_name")


@pytest.mark.parametrize("name", ["می\u200cخواهم", "क्\u200dष", "Zoë 👩\u200d🔬", "名前"])
def test_names_of_any_script_are_welcome(sign_up: SignUp, name: str) -> None:
    assert sign_up(name=name)["user"]["display_name"] == name


def test_a_log_in_that_began_before_the_password_changed_buys_no_session(
    client: FlaskClient, sign_up: SignUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_up()

    def slow(password: str, known: str | None) -> bool:
        """The old password is right, and while that is being found out somebody redeems a link."""
        right = matches(password, known)
        with client.application.app_context(), acting_in(DEFAULT):
            setup_links.redeem(setup_links.make_link("alice@example.com", "admin"), "another horse battery")
        return right

    monkeypatch.setattr(accounts, "matches", slow)
    reply = client.post("/api/auth/login", json={"email": "alice@example.com", "password": PASSWORD})
    assert code(reply) == (401, "INVALID_CREDENTIALS")
