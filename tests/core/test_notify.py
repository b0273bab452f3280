"""Notifications: the row, the page of them, reading them, and mail through a task."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from core.contracts import Mailer, User, UserDirectory, service
from core.data.models import db, new_id, utcnow
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.data.unit import unit
from core.live.notify import Notification, notify
from core.trust.identity import mint_access_token
from plugins.auth.models import Session, User as Account

ALICE, BOB = new_id(), new_id()


def signed_in(board: Flask, user_id: UUID, tenant_id: UUID = DEFAULT.id) -> dict[str, str]:
    """The headers of somebody who has an account and a session: without them no token stands."""
    with board.app_context(), acting_in(DEFAULT if tenant_id == DEFAULT.id else PLATFORM), unit():
        if db.session.get(Account, user_id) is None:
            db.session.add(Account(id=user_id, email=f"{user_id}@example.com", display_name="Alice"))
            db.session.flush()
        session = Session(user_id=user_id, expires_at=utcnow() + timedelta(days=1), ip="", user_agent="")
        db.session.add(session)
        db.session.flush()
        token, _ = mint_access_token(user_id, session.id, tenant_id)
    return {"Authorization": f"Bearer {token}"}


def tell(user_id: UUID, title: str = "News", **more: Any) -> None:
    notify(user_id, kind="test.news", title=title, text=f"All about {title}.", **more)


def titles(client: FlaskClient, headers: dict[str, str], query: str = "") -> list[str]:
    reply = client.get(f"/api/notifications{query}", headers=headers)
    assert reply.status_code == 200, reply.text
    return [item["title"] for item in reply.get_json()["items"]]


class Post:
    """A mailer and a directory that remember."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.people = {
            ALICE: User(ALICE, "alice@example.com", "Alice"),
            BOB: User(BOB, "bob@example.com", "Bob", False),
        }

    def send(self, **message: Any) -> None:
        with pytest.raises(RuntimeError, match="outside a unit"):
            db.session.execute(sa.text("select 1"))
        self.sent.append(message)

    def by_id(self, user_id: UUID) -> User | None:
        return self.people.get(user_id)


@pytest.fixture
def post(worker_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Post:
    post = Post()
    services = worker_app.extensions["pegboard.services"]
    with worker_app.app_context():
        service(Mailer), service(UserDirectory)
    for contract in (Mailer, UserDirectory):
        name = services.providers(contract)[-1]
        monkeypatch.setitem(services._made, (contract, name), post)
    return post


def test_a_person_reads_their_own_newest_first(ctx: Flask, client: FlaskClient) -> None:
    for number in range(5):
        tell(ALICE, f"N{number}", data={"number": number})
    tell(BOB, "for Bob")
    headers = signed_in(ctx, ALICE)
    assert titles(client, headers) == ["N4", "N3", "N2", "N1", "N0"]
    item = client.get("/api/notifications?limit=1", headers=headers).get_json()["items"][0]
    assert set(item) == {"id", "kind", "title", "text", "data", "read_at", "created_at"}
    assert (item["kind"], item["text"], item["data"], item["read_at"]) == (
        "test.news",
        "All about N4.",
        {"number": 4},
        None,
    )


def test_pages_meet_without_gap_or_overlap(ctx: Flask, client: FlaskClient) -> None:
    for number in range(5):
        tell(ALICE, f"N{number}")
    headers, seen, cursor = signed_in(ctx, ALICE), [], ""
    while cursor is not None:
        page = client.get(f"/api/notifications?limit=2{cursor and f'&cursor={cursor}'}", headers=headers).get_json()
        seen += [item["title"] for item in page["items"]]
        cursor = page["next"]
        tell(ALICE, "late")
    assert seen == ["N4", "N3", "N2", "N1", "N0"]


def test_reading_is_noted_once(ctx: Flask, client: FlaskClient) -> None:
    tell(ALICE, "one")
    tell(ALICE, "two")
    headers = signed_in(ctx, ALICE)
    two, _one = client.get("/api/notifications", headers=headers).get_json()["items"]
    reply = client.post(f"/api/notifications/{two['id']}/read", headers=headers)
    assert (reply.status_code, reply.data) == (204, b"")
    first = client.get("/api/notifications", headers=headers).get_json()["items"][0]["read_at"]
    assert first.endswith("Z")
    assert client.post(f"/api/notifications/{two['id']}/read", headers=headers).status_code == 204
    assert client.get("/api/notifications", headers=headers).get_json()["items"][0]["read_at"] == first
    assert titles(client, headers, "?unread=true") == ["one"]
    assert titles(client, headers, "?unread=false") == ["two", "one"]


def test_nobody_reads_or_marks_anothers(ctx: Flask, client: FlaskClient) -> None:
    tell(ALICE)
    (item,) = client.get("/api/notifications", headers=signed_in(ctx, ALICE)).get_json()["items"]
    for stranger in (signed_in(ctx, BOB), signed_in(ctx, new_id(), PLATFORM.id)):
        assert titles(client, stranger) == []
        reply = client.post(f"/api/notifications/{item['id']}/read", headers=stranger)
        assert (reply.status_code, reply.get_json()["code"]) == (404, "NOT_FOUND")
    assert client.get("/api/notifications").status_code == 401
    assert client.post(f"/api/notifications/{item['id']}/read").status_code == 401
    assert titles(client, signed_in(ctx, ALICE), "?unread=true") == ["News"]


@pytest.mark.parametrize("path", ["?limit=0", "?limit=101", "?unread=maybe", "?user_id=1", "?cursor=xyz"])
def test_bad_queries_are_refused(ctx: Flask, client: FlaskClient, path: str) -> None:
    assert client.get(f"/api/notifications{path}", headers=signed_in(ctx, ALICE)).status_code in (400, 422)


@pytest.mark.parametrize("bad", ["x", "7", "01a20636-fd14-7d47-bc8b-c1a3cdc6290"])
def test_a_bad_id_is_not_found(ctx: Flask, client: FlaskClient, bad: str) -> None:
    assert client.post(f"/api/notifications/{bad}/read", headers=signed_in(ctx, ALICE)).status_code == 404


def test_mail_follows_the_commit_from_a_worker(ctx: Flask, run_jobs: Callable[[], int], post: Post) -> None:
    with unit():
        tell(ALICE, "one")
        tell(ALICE, "silent", mail=False)
        assert post.sent == []
    assert post.sent == [], "not in the process that told"
    assert run_jobs() == 1
    (message,) = post.sent
    assert (message["to"], message["subject"], message["text"]) == ("alice@example.com", "one", "All about one.")


def test_a_rolled_back_unit_tells_nobody(
    ctx: Flask, client: FlaskClient, run_jobs: Callable[[], int], post: Post
) -> None:
    with pytest.raises(ZeroDivisionError), unit():
        tell(ALICE)
        _ = 1 // 0
    assert run_jobs() == 0
    assert post.sent == []
    assert titles(client, signed_in(ctx, ALICE)) == []


def test_who_is_gone_or_switched_off_gets_no_mail(ctx: Flask, run_jobs: Callable[[], int], post: Post) -> None:
    tell(BOB)
    tell(new_id())
    assert run_jobs() == 2
    assert post.sent == []


def test_one_key_is_one_notification_for_each_person(
    ctx: Flask, client: FlaskClient, run_jobs: Callable[[], int], post: Post
) -> None:
    for _ in range(3):
        tell(ALICE, key="test.once")
    tell(BOB, key="test.once")
    tell(ALICE, "other", key="test.other")
    with acting_in(PLATFORM):
        tell(ALICE, key="test.once")
    assert titles(client, signed_in(ctx, ALICE)) == ["other", "News"]
    run_jobs()
    keys = [message["key"] for message in post.sent]
    assert len(keys) == len(set(keys)) == 3


def test_one_key_told_at_once_by_many_is_one_row(ctx: Flask) -> None:
    def call(_: int) -> None:
        with ctx.app_context(), acting_in(DEFAULT):
            tell(ALICE, key="test.race")

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(call, range(10)))
    with unit():
        assert len(list(db.session.scalars(sa.select(Notification)))) == 1


def test_a_mail_job_that_runs_again_sends_under_the_same_key(
    ctx: Flask, run_jobs: Callable[[], int], post: Post
) -> None:
    from core.background.tasks import enqueue

    tell(ALICE)
    run_jobs()
    with unit():
        row = db.session.scalars(sa.select(Notification)).one()
    enqueue("core.notify_mail", notification_id=row.id)
    run_jobs()
    assert [message["key"] for message in post.sent] == [f"core.notification:{row.id}"] * 2
