"""Taking one's data along, and being forgotten, across every plugin and store."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from auth_helpers import PASSWORD, MakeLink, SignUp, bearer, code
from flask import Flask
from flask.testing import FlaskClient
from shelf.documents import Note
from shelf.models import Book
from shelf.personal import ReaderData, portrait

from core.contracts import ObjectStore, service
from core.data import DEFAULT, acting_in, db, unit


def fill(board: Flask, user_id: UUID, word: str) -> None:
    """A row, a document and an object of somebody, in the sample plugin."""
    with board.app_context(), acting_in(DEFAULT):
        with unit():
            db.session.add(Book(title=f"{word} book", owner_id=user_id))
        Note(topic=f"{word} note", owner_id=user_id).save()
        service(ObjectStore).put(portrait(user_id), io.BytesIO(word.encode()), "image/png")


def kept(board: Flask, user_id: UUID) -> tuple[int, int, bool]:
    with board.app_context(), acting_in(DEFAULT):
        with unit():
            books = len(db.session.scalars(sa.select(Book).where(Book.owner_id == user_id)).all())
        try:
            service(ObjectStore).open(portrait(user_id)).close()
            found = True
        except Exception:
            found = False
        return books, Note.objects(owner_id=user_id).count(), found


def test_everything_is_in_the_export_and_nothing_of_anybody_else(
    board: Flask, client: FlaskClient, sign_up: SignUp, run_jobs: Callable[[], int]
) -> None:
    alice, bob = sign_up(), sign_up("bob@example.com", name="Bob")
    for word, who in (("Alice's", alice), ("Bob's", bob)):
        fill(board, UUID(who["user"]["id"]), word)
    run_jobs()
    reply = client.get("/api/auth/me/export", headers=bearer(alice["access_token"]))
    assert reply.status_code == 200
    found = reply.get_json()
    data = found["data"]
    assert found["user_id"] == alice["user"]["id"]
    assert (data["shelf"]["books"], data["shelf"]["notes"]) == (["Alice's book"], ["Alice's note"])
    with client.get(data["shelf"]["portrait"].partition(":8000")[2]) as picture:
        assert picture.data == b"Alice's"
    assert data["auth"]["account"]["email"] == "alice@example.com"
    assert [session["id"] for session in data["auth"]["sessions"]] == [alice["session_id"]]
    assert {event["kind"] for event in data["auth"]["events"]} == {"registered"}
    assert [told["kind"] for told in data["board"]["notifications"]] == ["auth.welcome"]
    for secret in ("argon2", "Bob", "bob@example.com", "password_hash"):
        assert secret not in reply.text


def test_who_is_forgotten_is_gone_from_every_store(
    board: Flask,
    client: FlaskClient,
    sign_up: SignUp,
    run_jobs: Callable[[], int],
    superuser: psycopg.Connection[Any],
) -> None:
    alice, bob = sign_up(), sign_up("bob@example.com", name="Bob")
    ids = [UUID(who["user"]["id"]) for who in (alice, bob)]
    for word, user_id in zip(("Alice's", "Bob's"), ids, strict=True):
        fill(board, user_id, word)
    client.post("/api/auth/login", json={"email": "alice@example.com", "password": "wrong horse"})
    run_jobs()
    me = bearer(alice["access_token"])
    assert code(client.post("/api/auth/me/erase", json={"password": "wrong horse"}, headers=me)) == (
        403,
        "WRONG_PASSWORD",
    )
    assert client.post("/api/auth/me/erase", json={"password": PASSWORD}, headers=me).status_code == 202
    assert code(client.get("/api/auth/me", headers=me)) == (401, "TOKEN_INVALID"), "closed at once"
    log_in = {"email": "alice@example.com", "password": PASSWORD}
    assert code(client.post("/api/auth/login", json=log_in)) == (401, "INVALID_CREDENTIALS")
    run_jobs()
    assert kept(board, ids[0]) == (0, 0, False)
    assert kept(board, ids[1]) == (1, 1, True)
    for table in ("auth_users", "auth_sessions", "auth_events", "core_notifications", "core_outbox"):
        rows = superuser.execute(f"select t::text from {table} t").fetchall()
        assert not [row for (row,) in rows if str(ids[0]) in row or "alice" in row], table
    assert sign_up()["user"]["id"] != str(ids[0]), "the address is free again"


def test_a_store_that_is_away_is_asked_again_and_the_account_goes_last(
    board: Flask,
    client: FlaskClient,
    sign_up: SignUp,
    run_jobs: Callable[[], int],
    superuser: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice = sign_up()
    fill(board, UUID(alice["user"]["id"]), "Alice's")
    run_jobs()
    erase, failures = ReaderData.erase, [True]

    def stumbling(self: ReaderData, user_id: UUID) -> None:
        if failures.pop():
            failures.extend([False, False])
            raise RuntimeError("the shelf fell over")
        erase(self, user_id)

    stumbling.__in_steps__ = True  # type: ignore[attr-defined]
    monkeypatch.setattr(ReaderData, "erase", stumbling)
    client.post("/api/auth/me/erase", json={"password": PASSWORD}, headers=bearer(alice["access_token"]))
    run_jobs()
    assert superuser.execute("select active from auth_users").fetchall() == [(False,)]
    superuser.execute("update core_outbox set due_at = now()")
    import time

    from core.background.queue import contents

    with board.app_context():
        contents.run_now()
    time.sleep(0.01)
    run_jobs()
    assert superuser.execute("select count(*) from auth_users").fetchone() == (0,)
    assert kept(board, UUID(alice["user"]["id"])) == (0, 0, False)


def test_the_last_administrator_stays(client: FlaskClient, make_link: MakeLink) -> None:
    def redeem(email: str) -> dict[str, str]:
        reply = client.post("/api/auth/setup", json={"token": make_link(email), "password": PASSWORD})
        return bearer(reply.get_json()["access_token"])

    first = redeem("admin@example.com")
    assert code(client.post("/api/auth/me/erase", json={"password": PASSWORD}, headers=first)) == (409, "LAST_ADMIN")
    redeem("other@example.com")
    assert client.post("/api/auth/me/erase", json={"password": PASSWORD}, headers=first).status_code == 202
