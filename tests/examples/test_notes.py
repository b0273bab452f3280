"""``examples/pegboard-notes`` as an operator meets it: installed with pip, used over HTTP, and taken out again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fresh_env import ROOT, FreshEnv, board_wheel, eventually, scratch

from core.ops.testbed import TestServers, empty_everything

NOTES = "/api/notes/notes"
LOG_IN = {"email": "alice@example.com", "password": "correct horse battery"}
ALICE = {**LOG_IN, "display_name": "Alice"}


@pytest.fixture
def env(tmp_path: Path, servers: TestServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshEnv]:
    """The board in an environment of its own, with a database of its own."""
    made = FreshEnv(tmp_path / "env")
    made.pip("install", "--quiet", str(board_wheel(tmp_path_factory)))
    with scratch(servers, "notes") as address:
        made.environ |= address
        yield made
    empty_everything(servers)


@pytest.mark.timeout(300)  # several processes, one after the other, on a machine that may be busy
def test_it_comes_works_and_goes(env: FreshEnv, tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy, for building leaves its traces
    shutil.copytree(ROOT / "examples" / "pegboard-notes", source, ignore=shutil.ignore_patterns("__pycache__"))
    env.pip("install", "--quiet", str(source))
    shutil.rmtree(source / "pegboard_notes")  # what is used from here on is what was installed

    assert "notes 0001 first tables: notes" in env.flask("db", "upgrade")
    with env.processes("web", "worker") as (web, _):
        use_it(web.url)
    assert " passed" in env.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=source)

    env.pip("uninstall", "--yes", "--quiet", "pegboard-notes")
    assert env.flask("db", "upgrade").strip() == "nothing to do"
    with env.processes("web") as (web,), httpx.Client(base_url=web.url) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        assert client.get(NOTES).status_code == 404
        assert client.post("/api/auth/login", json=LOG_IN).status_code == 200
    with psycopg.connect(env.environ["DATABASE_URL"]) as connection:
        left = connection.execute("select to_regclass('notes_notes'), version_num from notes_alembic_version")
        assert left.fetchall() == [("notes_notes", "0001")], "what it kept is kept, for when it comes back"


def use_it(url: str) -> None:
    """All five routes, the task through the worker, and what the listener leaves."""
    with httpx.Client(base_url=url) as client:
        token = client.post("/api/auth/register", json=ALICE).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        note = client.post(NOTES, json={"title": "Call Bob", "text": "about the figs", "remind_in": 1})
        assert note.status_code == 201, note.text
        where, tag = note.headers["Location"], note.headers["ETag"]
        assert client.get(where).json() == note.json()
        assert client.patch(where, json={"text": "soon"}, headers={"If-Match": tag}).json()["text"] == "soon"
        assert client.patch(where, json={"text": "late"}, headers={"If-Match": tag}).status_code == 412
        assert [item["title"] for item in client.get(NOTES).json()["items"]] == ["Call Bob"]
        eventually(lambda: {"notes.first", "notes.reminder"} <= {each["kind"] for each in notifications(client)})
        assert client.delete(where).status_code == 204
        assert client.get(NOTES).json()["items"] == []
        assert client.get("/openapi.json").json()["paths"][f"{NOTES}/{{note_id}}"].keys() >= {"get", "patch", "delete"}


def notifications(client: httpx.Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/api/notifications").json()["items"]
    return items
