"""A job that was handed over stays in the outbox until its queue is known to have kept it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from handover import NOW, rows, waiting
from redis.exceptions import ConnectionError

from core.background import duties, enqueue
from core.background.queue import delivery, kept
from core.background.queue.routes import Route
from core.data import DEFAULT, acting_in, confirming, new_id, redis, sweeping, unit
from core.data.outbox import Envelope
from core.ops.embedded import Servers, start
from core.web import checks

AT_ONCE = timedelta(0)


def handed(superuser: psycopg.Connection[Any]) -> int:
    [(many,)] = superuser.execute("select count(*) from core_outbox where handed_at is not null").fetchall()
    return int(many)


def count(many: int = 1) -> None:
    with unit():
        for _ in range(many):
            enqueue("shelf.count", book_id=new_id())


def lose_all() -> None:
    store: Any = redis.client()
    store.delete(*store.keys("pb:q:*"))


def test_a_row_goes_once_its_queue_has_kept_it(ctx: Flask, superuser: psycopg.Connection[Any]) -> None:
    count(3)
    assert (rows(superuser), handed(superuser)) == ([], 3)
    assert confirming.confirm() == 0, "it is not certain yet"
    assert confirming.confirm(limit=2, after=AT_ONCE) == 2
    assert confirming.confirm(after=AT_ONCE) == 1
    assert handed(superuser) == 0 and len(waiting()) == 3


def test_what_a_queue_has_lost_is_handed_over_again(
    ctx: Flask, superuser: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    count(2)
    before = {each.id for each in waiting()}
    lose_all()
    count(1)
    before_too = {each.id for each in waiting()}
    assert confirming.confirm(after=AT_ONCE) == 3
    assert "Redis has lost jobs that it had taken" in caplog.text
    assert (len(rows(superuser)), handed(superuser)) == (2, 0)
    assert sweeping.sweep(settled=NOW) == 2
    assert {each.id for each in waiting()} == before | before_too
    confirming.confirm(after=AT_ONCE)
    assert handed(superuser) == 0


def test_one_that_has_run_meanwhile_was_kept(
    ctx: Flask, superuser: psycopg.Connection[Any], run_jobs: Callable[[], int]
) -> None:
    count()
    run_jobs()
    assert (rows(superuser), handed(superuser)) == ([], 0)


def test_whoever_put_it_there_may_have_known_another_queue(
    ctx: Flask, superuser: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    count()
    monkeypatch.setattr(kept, "route_of", lambda name: Route(queue="reports"))
    confirming.confirm(after=AT_ONCE)
    assert (rows(superuser), handed(superuser)) == ([], 0)


@pytest.mark.parametrize("at", ["rotated", "long ago"])
def test_what_may_have_been_forgotten_counts_as_kept(ctx: Flask, superuser: psycopg.Connection[Any], at: str) -> None:
    """A queue remembers the last hundred thousand, or half an hour: what it has forgotten it may well have done."""
    count()
    store: Any = redis.client()
    if at == "rotated":
        for _ in range(3):
            store.expire("pb:q:{default}:seen", 5)  # the next to come finds it old
            delivery.push([Envelope(new_id(), "task", "shelf.count", {}, DEFAULT.id)])
        assert float(store.hget("pb:q:{default}:stat", "remembers")) > 0
    else:
        store.delete("pb:q:{default}:seen")
        superuser.execute("update core_outbox set handed_at = handed_at - interval '26 minutes'")
    confirming.confirm(after=AT_ONCE)
    assert (rows(superuser), handed(superuser)) == ([], 0)


def test_while_redis_is_away_every_row_stays(
    ctx: Flask, superuser: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(handed: Any) -> set[Any]:
        raise ConnectionError("Connection refused")

    count(2)
    with monkeypatch.context() as patched:
        patched.setattr(ctx.extensions["pegboard.outbox"], "lost", away)
        with pytest.raises(Exception, match="refused"):
            confirming.confirm(after=AT_ONCE)
    assert handed(superuser) == 2
    assert confirming.confirm(after=AT_ONCE) == 2


def test_what_is_in_the_outbox_in_name_only_is_no_backlog(ctx: Flask, superuser: psycopg.Connection[Any]) -> None:
    count(2)
    assert checks.outbox()["waiting"] == 0
    assert sweeping.sweep(settled=NOW) == 0


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Servers]:
    servers = start(tmp_path / "valkey", durable=True, only=("valkey",))
    try:
        yield servers
    finally:
        servers.stop()


def test_a_server_that_forgets_what_it_answered_loses_no_job(
    valkey: Servers,
    make_board: Callable[..., Flask],
    superuser: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Valkey under ``everysec`` while its disk syncs: it answers, has not written, and is killed."""
    assert valkey.valkey
    superuser.execute("delete from core_outbox")
    monkeypatch.setenv("REDIS_URL", valkey.valkey.url)
    with make_board("web").app_context() as context, acting_in(DEFAULT):
        count(5)
        redis.client().execute_command("WAITAOF", 1, 0, 10_000)
        [written] = (tmp_path / "valkey").rglob("*.incr.aof")
        size = written.stat().st_size
        count(20)
        before = [each.id for each in waiting()]
        valkey.valkey.kill()
        with written.open("r+b") as file:
            file.truncate(size)
        valkey.valkey.start()
        assert [each.id for each in waiting()] == before[:5], "so it is lost"
        app = context.app
        assert confirming.confirm(after=AT_ONCE) == 25
        superuser.execute("update core_outbox set created_at = created_at - interval '1 minute'")
        duties.run_once(app, app.extensions["pegboard.duties"]["core.outbox_sweep"])
        assert [each.id for each in waiting()] == before
