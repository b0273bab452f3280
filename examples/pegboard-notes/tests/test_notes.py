"""Notes over HTTP: what their owner can do with them, what nobody else can, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from core.contracts import PersonalData, services
from core.data import unit

NOTES = "/api/notes/notes"


def written(client: Any, who: dict[str, str], **note: Any) -> Any:
    reply = client.post(NOTES, json={"title": "Shopping", **note}, headers=who)
    assert reply.status_code == 201, reply.text
    return reply


def told(client: Any, who: dict[str, str]) -> list[tuple[str, str]]:
    """One's notifications from this plugin, oldest first."""
    items = client.get("/api/notifications", headers=who).json["items"]
    return [(item["kind"], item["title"]) for item in reversed(items) if item["kind"].startswith("notes.")]


def test_a_note_is_written_and_read(client: Any, alice: dict[str, str]) -> None:
    first = written(client, alice, text="bread")
    assert first.headers["Location"] == f"{NOTES}/{first.json['id']}"
    again = client.get(first.headers["Location"], headers=alice)
    assert (again.json, again.headers["ETag"]) == (first.json, first.headers["ETag"])
    unchanged = client.get(first.headers["Location"], headers={**alice, "If-None-Match": first.headers["ETag"]})
    assert unchanged.status_code == 304


def test_a_list_is_ones_own_newest_first_page_by_page(client: Any, alice: dict[str, str], bob: dict[str, str]) -> None:
    for title in ("one", "two", "three"):
        written(client, alice, title=title)
    written(client, bob, title="Bob's")
    page = client.get(f"{NOTES}?limit=2", headers=alice).json
    assert [note["title"] for note in page["items"]] == ["three", "two"]
    rest = client.get(f"{NOTES}?limit=2&cursor={page['next']}", headers=alice).json
    assert ([note["title"] for note in rest["items"]], rest["next"]) == (["one"], None)


def test_a_change_needs_the_version_that_was_read(client: Any, alice: dict[str, str]) -> None:
    note = written(client, alice, text="bread")
    where, tag = note.headers["Location"], note.headers["ETag"]
    assert client.patch(where, json={"text": "figs"}, headers=alice).json["code"] == "PRECONDITION_REQUIRED"
    changed = client.patch(where, json={"text": "figs"}, headers={**alice, "If-Match": tag})
    assert (changed.json["title"], changed.json["text"]) == ("Shopping", "figs")
    assert changed.headers["ETag"] != tag
    late = client.patch(where, json={"text": "dates"}, headers={**alice, "If-Match": tag})
    assert (late.status_code, late.json["code"]) == (412, "PRECONDITION_FAILED")


def test_a_note_is_thrown_away(client: Any, alice: dict[str, str]) -> None:
    where = written(client, alice).headers["Location"]
    assert client.delete(where, headers=alice).status_code == 204
    assert client.get(NOTES, headers=alice).json["items"] == []


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_nobody_else_comes_near_it(client: Any, alice: dict[str, str], bob: dict[str, str], method: str) -> None:
    where = written(client, alice).headers["Location"]
    options = {"json": {"text": "mine"}} if method == "patch" else {}
    call = getattr(client, method)
    assert call(where, headers=bob, **options).json["code"] == "FORBIDDEN"
    assert call(where, **options).json["code"] == "TOKEN_MISSING"


def test_there_is_room_for_so_many(
    make_board: Callable[..., Any], client: Any, alice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTES_PER_PERSON", "1")
    small = make_board("web").test_client()
    written(small, alice)
    full = small.post(NOTES, json={"title": "Another"}, headers=alice)
    assert (full.status_code, full.json["code"]) == (409, "NOTES_FULL")


def test_a_reminder_comes_once(client: Any, alice: dict[str, str], run_jobs: Callable[[], int]) -> None:
    written(client, alice, title="Call Bob", remind_in=0)
    run_jobs()
    assert told(client, alice).count(("notes.reminder", "Call Bob")) == 1


def test_a_reminder_lies_within_reason(client: Any, alice: dict[str, str]) -> None:
    reply = client.post(NOTES, json={"title": "Someday", "remind_in": 10**9}, headers=alice)
    assert (reply.status_code, reply.json["errors"][0]["field"]) == (422, "$.remind_in")
    assert client.get(NOTES, headers=alice).json["items"] == [], "a refusal leaves nothing behind"


def test_the_first_note_is_noticed_and_the_second_is_not(
    client: Any, alice: dict[str, str], run_jobs: Callable[[], int]
) -> None:
    written(client, alice)
    written(client, alice)
    run_jobs()
    assert told(client, alice) == [("notes.first", "Your first note is kept")]


def test_a_person_can_take_all_along_and_be_forgotten(
    client: Any, ctx: Any, alice: dict[str, str], bob: dict[str, str]
) -> None:
    owner = UUID(written(client, alice, text="secret").json["owner_id"])
    written(client, bob)
    with unit():
        ours = services(PersonalData)["notes"]
        assert [note["text"] for note in ours.export(owner)["notes"]] == ["secret"]
        ours.erase(owner)
    assert client.get(NOTES, headers=alice).json["items"] == []
    assert len(client.get(NOTES, headers=bob).json["items"]) == 1
