"""What is mailed: links that open an account, reset a password, change an address; and what no answer tells."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from auth_helpers import PASSWORD, SignUp, bearer, code
from flask import Flask
from flask.testing import FlaskClient

from core.config import settings
from core.data.models import db
from plugins.auth import passwords
from plugins.auth.hashers import NEW, Argon2id

Mailbox = Callable[[], list[tuple[str, str, str]]]

ALICE = {"email": "alice@example.com", "password": PASSWORD, "display_name": "Alice"}
NEW_PASSWORD = "another horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def verifying(board: Flask, make_board: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> Flask:
    """A board that mails a link before it opens an account."""
    monkeypatch.setenv("AUTH_SIGNUP", "verify")
    return make_board("web")


@pytest.fixture
def mailbox(board: Flask) -> Mailbox:
    """Who was sent what since last asked: (address, subject, token of the link)."""
    with board.app_context():
        folder = Path(settings().instance_dir) / "mail"
    seen: set[Path] = set(folder.glob("*.eml"))

    def fresh() -> list[tuple[str, str, str]]:
        found = []
        for path in sorted(set(folder.glob("*.eml")) - seen, key=lambda path: path.stat().st_mtime_ns):
            seen.add(path)
            message: Any = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            token = re.search(r"/auth/\w+#token=(\S+)", message.get_content())
            found.append((str(message["To"]), str(message["Subject"]), token[1] if token else ""))
        return found

    return fresh


# -- opening an account ---------------------------------------------------------------------------------------------


def test_a_mailed_link_opens_the_account_and_nothing_is_there_before(
    verifying: Flask, run_jobs: Callable[[], int], mailbox: Mailbox, superuser: psycopg.Connection[Any]
) -> None:
    client = verifying.test_client()
    reply = client.post("/api/auth/register", json=ALICE)
    assert (reply.status_code, set(reply.get_json())) == (202, {"detail"})
    run_jobs()
    ((to, subject, token),) = mailbox()
    assert (to, subject) == ("alice@example.com", "Confirm your address")
    assert superuser.execute("select count(*) from auth_users").fetchone() == (0,)
    assert token not in str(superuser.execute("select s::text from auth_signups s").fetchall())
    log_in = {"email": ALICE["email"], "password": PASSWORD}
    assert code(client.post("/api/auth/login", json=log_in)) == (401, "INVALID_CREDENTIALS")
    opened = client.post("/api/auth/verify", json={"token": token, "password": PASSWORD})
    assert opened.status_code == 200
    assert client.get("/api/auth/me", headers=bearer(opened.get_json()["access_token"])).status_code == 200
    assert code(client.post("/api/auth/verify", json={"token": token, "password": PASSWORD})) == (410, "LINK_INVALID")
    assert client.post("/api/auth/login", json=log_in).status_code == 200
    (verified,) = superuser.execute("select email_verified_at is not null from auth_users").fetchone() or (None,)
    assert verified


def test_who_has_an_account_hears_of_it_and_the_caller_does_not(
    verifying: Flask,
    client: FlaskClient,
    sign_up: SignUp,
    run_jobs: Callable[[], int],
    mailbox: Mailbox,
    superuser: psycopg.Connection[Any],
) -> None:
    sign_up()
    run_jobs()
    mailbox()
    known = verifying.test_client().post("/api/auth/register", json=ALICE | {"password": NEW_PASSWORD})
    fresh = verifying.test_client().post("/api/auth/register", json=ALICE | {"email": "bob@example.com"})
    assert (known.status_code, known.data) == (fresh.status_code, fresh.data)
    run_jobs()
    assert sorted((to, subject) for to, subject, _ in mailbox()) == [
        ("alice@example.com", "You have an account already"),
        ("bob@example.com", "Confirm your address"),
    ]
    assert client.post("/api/auth/login", json={"email": ALICE["email"], "password": NEW_PASSWORD}).status_code == 401


def test_nobody_can_sit_on_an_address_that_is_not_theirs(
    verifying: Flask, run_jobs: Callable[[], int], mailbox: Mailbox
) -> None:
    client = verifying.test_client()
    client.post("/api/auth/register", json=ALICE | {"password": "the squatter's own"})
    client.post("/api/auth/register", json=ALICE)
    run_jobs()
    tokens = [token for _, _, token in mailbox()]
    assert len(tokens) == 2
    # The owner of the mailbox follows the squatter's link, and does not know the password that was chosen.
    tricked = client.post("/api/auth/verify", json={"token": tokens[0], "password": PASSWORD})
    assert code(tricked) == (403, "WRONG_PASSWORD")
    assert client.post("/api/auth/verify", json={"token": tokens[1], "password": PASSWORD}).status_code == 200
    assert client.post("/api/auth/login", json={"email": ALICE["email"], "password": PASSWORD}).status_code == 200
    squatter = client.post("/api/auth/verify", json={"token": tokens[0], "password": "the squatter's own"})
    assert code(squatter) == (410, "LINK_INVALID")


def test_an_old_link_opens_nothing(
    verifying: Flask, run_jobs: Callable[[], int], mailbox: Mailbox, superuser: psycopg.Connection[Any]
) -> None:
    client = verifying.test_client()
    client.post("/api/auth/register", json=ALICE)
    run_jobs()
    ((_, _, token),) = mailbox()
    superuser.execute("update auth_signups set expires_at = now()")
    assert code(client.post("/api/auth/verify", json={"token": token, "password": PASSWORD})) == (410, "LINK_INVALID")


def test_where_signing_up_is_closed_nobody_registers(
    make_board: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_SIGNUP", "closed")
    assert code(make_board("web").test_client().post("/api/auth/register", json=ALICE)) == (403, "SIGNUP_CLOSED")


# -- getting back in ------------------------------------------------------------------------------------------------


def test_a_reset_sets_the_password_and_ends_every_session(
    client: FlaskClient, sign_up: SignUp, run_jobs: Callable[[], int], mailbox: Mailbox
) -> None:
    mine = sign_up()
    run_jobs()
    mailbox()
    assert client.post("/api/auth/password/forgot", json={"email": "ALICE@example.com"}).status_code == 202
    run_jobs()
    ((to, subject, token),) = mailbox()
    assert (to, subject) == ("alice@example.com", "Reset your password")
    body = {"token": token, "password": NEW_PASSWORD}
    assert client.post("/api/auth/password/reset", json=body).status_code == 204
    assert code(client.get("/api/auth/me", headers=bearer(mine["access_token"]))) == (401, "TOKEN_INVALID")
    reply = client.post("/api/auth/refresh", json={"refresh_token": mine["refresh_token"]})
    assert code(reply) == (401, "SESSION_ENDED")
    assert code(client.post("/api/auth/password/reset", json=body)) == (410, "LINK_INVALID")
    for password, status in ((PASSWORD, 401), (NEW_PASSWORD, 200)):
        reply = client.post("/api/auth/login", json={"email": ALICE["email"], "password": password})
        assert reply.status_code == status
    run_jobs()
    assert [subject for _, subject, _ in mailbox()] == ["Your password was changed"]


def test_only_the_last_reset_link_counts_and_not_for_long(
    client: FlaskClient,
    sign_up: SignUp,
    run_jobs: Callable[[], int],
    mailbox: Mailbox,
    superuser: psycopg.Connection[Any],
) -> None:
    sign_up()
    for _ in range(2):
        client.post("/api/auth/password/forgot", json={"email": ALICE["email"]})
        run_jobs()
    first, second = (token for _, subject, token in mailbox() if subject == "Reset your password")
    assert code(client.post("/api/auth/password/reset", json={"token": first, "password": NEW_PASSWORD}))[0] == 410
    superuser.execute("update auth_links set expires_at = now()")
    assert code(client.post("/api/auth/password/reset", json={"token": second, "password": NEW_PASSWORD}))[0] == 410
    assert client.post("/api/auth/login", json={"email": ALICE["email"], "password": PASSWORD}).status_code == 200


def test_nobody_is_mailed_who_has_no_account_or_was_switched_off(
    client: FlaskClient,
    sign_up: SignUp,
    run_jobs: Callable[[], int],
    mailbox: Mailbox,
    superuser: psycopg.Connection[Any],
) -> None:
    sign_up()
    run_jobs()
    mailbox()
    superuser.execute("update auth_users set active = false")
    for address in ("alice@example.com", "nobody@example.com"):
        assert client.post("/api/auth/password/forgot", json={"email": address}).status_code == 202
    run_jobs()
    assert mailbox() == []


def test_changing_the_password_keeps_this_session_alone(client: FlaskClient, sign_up: SignUp) -> None:
    mine, log_in = sign_up(), {"email": ALICE["email"], "password": PASSWORD}
    other = client.post("/api/auth/login", json=log_in).get_json()
    me = bearer(mine["access_token"])
    wrong = {"current_password": "wrong horse", "new_password": NEW_PASSWORD}
    assert code(client.post("/api/auth/password", json=wrong, headers=me)) == (403, "WRONG_PASSWORD")
    common = {"current_password": PASSWORD, "new_password": "password1"}
    refused = client.post("/api/auth/password", json=common, headers=me)
    assert (refused.status_code, refused.get_json()["errors"][0]["field"]) == (422, "$.new_password")
    right = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert client.post("/api/auth/password", json=right, headers=me).status_code == 204
    assert client.get("/api/auth/me", headers=me).status_code == 200
    assert client.get("/api/auth/me", headers=bearer(other["access_token"])).status_code == 401
    assert client.post("/api/auth/login", json=log_in).status_code == 401


def test_another_address_is_used_once_its_link_is(
    client: FlaskClient, sign_up: SignUp, run_jobs: Callable[[], int], mailbox: Mailbox
) -> None:
    mine = bearer(sign_up()["access_token"])
    sign_up("bob@example.com", name="Bob")
    run_jobs()
    mailbox()
    told = []
    for address in ("bob@example.com", "Alice@new.example.com"):
        reply = client.post("/api/auth/email", json={"email": address, "password": PASSWORD}, headers=mine)
        told.append((reply.status_code, reply.data))
        run_jobs()
    assert told[0] == told[1]
    taken, free = mailbox()
    assert taken[:2] == ("bob@example.com", "You have an account already")
    assert free[:2] == ("alice@new.example.com", "Confirm your new address")
    assert client.get("/api/auth/me", headers=mine).get_json()["email"] == "alice@example.com"
    assert client.post("/api/auth/email/confirm", json={"token": free[2]}).status_code == 204
    assert client.get("/api/auth/me", headers=mine).get_json()["email"] == "alice@new.example.com"
    run_jobs()
    assert [mail[:2] for mail in mailbox()] == [("alice@example.com", "Your address was changed")]
    assert code(client.post("/api/auth/email/confirm", json={"token": free[2]})) == (410, "LINK_INVALID")


@pytest.mark.parametrize("how", ["reset", "change", "sign out"])
def test_whoever_takes_the_account_back_takes_back_a_change_of_address_too(
    client: FlaskClient, sign_up: SignUp, run_jobs: Callable[[], int], mailbox: Mailbox, how: str
) -> None:
    """An intruder who knows the password has asked for another address, and waits with the link."""
    mine = bearer(sign_up()["access_token"])
    client.post("/api/auth/email", json={"email": "mallory@example.com", "password": PASSWORD}, headers=mine)
    run_jobs()
    (evil,) = (token for to, _, token in mailbox() if to == "mallory@example.com")
    if how == "reset":
        client.post("/api/auth/password/forgot", json={"email": ALICE["email"]})
        run_jobs()
        (token,) = (token for _, subject, token in mailbox() if subject == "Reset your password")
        client.post("/api/auth/password/reset", json={"token": token, "password": NEW_PASSWORD})
    elif how == "change":
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        assert client.post("/api/auth/password", json=body, headers=mine).status_code == 204
    else:
        assert client.delete("/api/auth/sessions?except=current", headers=mine).status_code == 204
    assert code(client.post("/api/auth/email/confirm", json={"token": evil})) == (410, "LINK_INVALID")


def test_a_change_of_address_whose_job_still_waits_dies_with_the_rest(
    client: FlaskClient,
    sign_up: SignUp,
    run_jobs: Callable[[], int],
    mailbox: Mailbox,
    superuser: psycopg.Connection[Any],
) -> None:
    mine = bearer(sign_up()["access_token"])
    run_jobs()
    mailbox()
    client.post("/api/auth/email", json={"email": "mallory@example.com", "password": PASSWORD}, headers=mine)
    client.delete("/api/auth/sessions", headers=mine)
    run_jobs()
    assert mailbox() == []


def test_two_links_of_one_address_at_once_make_one_account_and_nobody_waits(
    verifying: Flask, run_jobs: Callable[[], int], mailbox: Mailbox
) -> None:
    for _ in range(2):
        verifying.test_client().post("/api/auth/register", json=ALICE)
    run_jobs()
    tokens = [token for _, _, token in mailbox()]

    def follow(token: str) -> int:
        body = {"token": token, "password": PASSWORD}
        return verifying.test_client().post("/api/auth/verify", json=body).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(follow, tokens)) in ([200, 409], [200, 410])


def test_a_mailbox_is_not_flooded(
    client: FlaskClient, sign_up: SignUp, run_jobs: Callable[[], int], mailbox: Mailbox
) -> None:
    sign_up()
    run_jobs()
    mailbox()
    for number in range(15):
        client.environ_base["REMOTE_ADDR"] = f"10.9.9.{number}"
        assert client.post("/api/auth/password/forgot", json={"email": ALICE["email"]}).status_code == 202
    run_jobs()
    tokens = [token for _, _, token in mailbox()]
    assert len(tokens) == 10
    body = {"token": tokens[-1], "password": NEW_PASSWORD}
    assert client.post("/api/auth/password/reset", json=body).status_code == 204, "the last one is good"


def test_nothing_that_a_stranger_wrote_goes_to_an_address(
    verifying: Flask, run_jobs: Callable[[], int], board: Flask, mailbox: Mailbox
) -> None:
    body = ALICE | {"display_name": "Win at http://evil.example.com now"}
    verifying.test_client().post("/api/auth/register", json=body)
    run_jobs()
    with board.app_context():
        folder = Path(settings().instance_dir) / "mail"
    assert mailbox()
    assert not [path for path in folder.glob("*.eml") if b"evil.example" in path.read_bytes()]


def test_links_serve_their_own_purpose_alone(
    client: FlaskClient, sign_up: SignUp, run_jobs: Callable[[], int], mailbox: Mailbox
) -> None:
    sign_up()
    client.post("/api/auth/password/forgot", json={"email": ALICE["email"]})
    run_jobs()
    (token,) = (token for _, subject, token in mailbox() if subject == "Reset your password")
    for path, body in (
        ("setup", {"token": token, "password": NEW_PASSWORD}),
        ("verify", {"token": token, "password": PASSWORD}),
        ("email/confirm", {"token": token}),
    ):
        assert code(client.post(f"/api/auth/{path}", json=body)) == (410, "LINK_INVALID"), path


# -- that nothing tells who exists ------------------------------------------------------------------------------------


@pytest.fixture
def work(board: Flask, verifying: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every SQL statement and every hash, in order, of both boards in this process."""
    done: list[str] = []
    verify, make = passwords._verify, NEW.hash
    monkeypatch.setattr(passwords, "_verify", lambda *given: [done.append("verify"), verify(*given)][1])
    monkeypatch.setattr(NEW, "hash", lambda *given: [done.append("hash"), make(*given)][1])
    engines = []
    for app in (board, verifying):
        with app.app_context():
            engines.append(db.engine)

    def note(*given: Any) -> None:
        done.append(given[2])

    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    yield done
    for engine in engines:
        sa.event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("login", {"password": "wrong horse battery"}),
        ("register", {"password": NEW_PASSWORD, "display_name": "Alice"}),
        ("password/forgot", {}),
    ],
)
def test_known_and_unknown_addresses_get_the_same_answer_for_the_same_work(
    verifying: Flask,
    superuser: psycopg.Connection[Any],
    work: list[str],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: dict[str, Any],
) -> None:
    """500 of each: status, body, headers, hashes and statements. How long it takes is for the soak to compare."""
    monkeypatch.setattr(Argon2id, "_engine", lambda self: CHEAP)
    columns = "(id, tenant_id, email, display_name, password_hash, active, must_reset, created_at, updated_at)"
    with verifying.app_context():
        digest = passwords.hashed(PASSWORD)
    superuser.execute(
        f"insert into auth_users {columns} select gen_random_uuid(), '00000000-0000-7000-8000-000000000001',"
        f" 'known' || n || '@example.com', 'Known', %s, true, false, now(), now() from generate_series(0, 499) n",
        (digest,),
    )
    client = verifying.test_client()
    seen: dict[str, set[Any]] = {"known": set(), "unknown": set()}
    for number in range(500):
        for place, kind in enumerate(seen):
            # Each from an address of its own, so that no limit tells one from the other.
            client.environ_base["REMOTE_ADDR"] = f"10.{place}.{number // 250}.{number % 250}"
            work.clear()
            reply = client.post(f"/api/auth/{path}", json={**body, "email": f"{kind}{number}@example.com"})
            told = {**reply.get_json(), "request_id": ""}
            headers = sorted((name, value) for name, value in reply.headers if name not in ("X-Request-ID", "Date"))
            shown = [(name, re.sub(r"t=\d+", "t=", value)) for name, value in headers]
            seen[kind].add((reply.status_code, str(told), str(shown), tuple(work)))
    assert seen["known"] == seen["unknown"]
    assert len(seen["known"]) == 1
    ((status, _, _, done),) = seen["known"]
    assert status == (401 if path == "login" else 202)
    assert sum(step in ("hash", "verify") for step in done) == (0 if path == "password/forgot" else 1)
