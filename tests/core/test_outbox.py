"""What must happen after a commit happens, whatever fails between the commit and the queue; and never without one."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from handover import NOW, Deliverer, delivering, rows, waiting
from redis.exceptions import ConnectionError as RedisAway
from shelf import services

from core.background.queue import contents
from core.background.tasks import enqueue, enqueue_in
from core.contracts import Principal
from core.data import outbox, sweeping
from core.data.models import db, new_id
from core.data.tenancy import DEFAULT
from core.data.unit import unit
from core.trust.identity import acting_as

RunJobs = Callable[[], int]


@pytest.fixture(autouse=True)
def somebody() -> Iterator[Principal]:
    with acting_as(Principal("user", new_id(), DEFAULT.id)) as who:
        yield who


@pytest.fixture
def deliverer(ctx: Flask) -> Iterator[Deliverer]:
    with delivering(ctx) as made:
        yield made


def marks() -> list[str]:
    with unit():
        return services.marks()


# -- commit and rollback ------------------------------------------------------------------------------------------


def test_a_rollback_leaves_no_row_no_event_and_no_job(
    ctx: Flask, superuser: psycopg.Connection[Any], run_jobs: RunJobs
) -> None:
    with pytest.raises(ZeroDivisionError), unit():
        services.add("never written")
        db.session.flush()
        raise ZeroDivisionError
    assert rows(superuser) == []
    assert waiting() == []
    assert run_jobs() == 0
    assert marks() == []


def test_after_the_commit_the_job_is_on_the_queue_and_its_row_is_gone(
    ctx: Flask, superuser: psycopg.Connection[Any], run_jobs: RunJobs
) -> None:
    with unit():
        job = enqueue("shelf.count", book_id=new_id())
        db.session.flush()
        assert waiting() == []
    assert [envelope.id for envelope in waiting()] == [job]
    assert rows(superuser) == []
    assert run_jobs() == 1
    assert len(marks()) == 1


def test_all_rows_of_a_unit_are_handed_over_at_once_in_order(deliverer: Deliverer) -> None:
    with unit():
        for name in ("shelf.one", "shelf.two", "shelf.three"):
            enqueue(name)
        assert deliverer.batches == []
    assert deliverer.names == [["shelf.one", "shelf.two", "shelf.three"]]


def test_a_savepoint_that_is_rolled_back_takes_its_jobs_along(deliverer: Deliverer) -> None:
    with unit():
        enqueue("shelf.stays")
        with pytest.raises(ZeroDivisionError), db.session.begin_nested():
            enqueue("shelf.goes")
            db.session.flush()
            raise ZeroDivisionError
    assert deliverer.names == [["shelf.stays"]]


def test_outside_a_unit_enqueue_opens_one(ctx: Flask) -> None:
    job = enqueue("shelf.count", book_id=new_id())
    assert [envelope.id for envelope in waiting()] == [job]


def test_put_needs_a_unit(ctx: Flask) -> None:
    with pytest.raises(LookupError, match="unit of work"):
        outbox.put("task", "shelf.count", {})


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"text": "x" * outbox.MAX_PAYLOAD}, "at most 65536.*ObjectStore"),
        ({"thing": object()}, "cannot travel as JSON.*pass ids"),
        ({"text": "\ud800"}, "cannot travel as JSON"),
    ],
)
def test_what_cannot_travel_is_refused_with_the_cure(ctx: Flask, payload: dict[str, Any], words: str) -> None:
    with unit(), pytest.raises(ValueError, match=words):
        outbox.put("task", "shelf.count", payload)


# -- the queue cannot be reached ------------------------------------------------------------------------------------


def test_with_redis_away_the_row_stays_and_the_fast_path_rests(
    ctx: Flask, deliverer: Deliverer, superuser: psycopg.Connection[Any]
) -> None:
    deliverer.refuse = lambda envelope: RedisAway("refused")
    first, second = enqueue("shelf.count"), enqueue("shelf.count")
    assert len(deliverer.batches) == 1, "while it rests nobody waits for Redis again"
    box = ctx.extensions["pegboard.outbox"]
    assert 0 < box.resting_until - time.monotonic() <= outbox.REST
    box.resting_until = time.monotonic()
    deliverer.refuse = lambda envelope: None
    third = enqueue("shelf.count")
    assert [row[0] for row in rows(superuser)] == [first, second]
    assert sweeping.sweep(settled=NOW) == 2
    assert [[envelope.id for envelope in batch] for batch in deliverer.batches[1:]] == [[third], [first, second]]
    assert rows(superuser) == []


def test_a_process_that_dies_right_after_its_commit_loses_nothing(
    ctx: Flask, superuser: psycopg.Connection[Any], run_jobs: RunJobs, tmp_path: Path
) -> None:
    script = tmp_path / "dies.py"
    script.write_text(
        textwrap.dedent("""
            import os
            from core.app import create_app
            from core.contracts import SYSTEM
            from core.data.tenancy import DEFAULT, acting_in
            from core.data.unit import unit
            from core.trust.identity import acting_as
            from shelf import services

            app = create_app("web")
            app.extensions["pegboard.outbox"].deliver = lambda envelopes: os._exit(9)
            with app.app_context(), acting_in(DEFAULT), acting_as(SYSTEM), unit():
                services.add("survivor")
        """)
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, str(script)], cwd=root, env=_with_path(root), capture_output=True, text=True
    )
    assert ended.returncode == 9, ended.stderr
    left = [(row[0], row[1]) for row in rows(superuser)]
    assert [name for _, name in left] == ["shelf.remember", "shelf.count"]
    assert waiting() == []
    assert sweeping.sweep(settled=NOW) == 2
    assert [(envelope.id, envelope.name) for envelope in waiting()] == left, "under the same ids"
    assert run_jobs() == 2
    assert sorted(mark.partition(" ")[0] for mark in marks()) == ["counted", "remembered", "saw"]


def _with_path(root: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), os.environ["PYTHONPATH"]))}


# -- later ------------------------------------------------------------------------------------------------------------


def test_a_short_delay_waits_in_the_queue_and_a_long_one_in_the_database(
    ctx: Flask, superuser: psycopg.Connection[Any], run_jobs: RunJobs
) -> None:
    enqueue_in(30, "shelf.count", book_id=new_id())
    enqueue_in(3600, "shelf.count", book_id=new_id())
    assert len(list(contents.scheduled())) == 1
    assert len(rows(superuser)) == 1
    assert sweeping.sweep(settled=NOW) == 0
    assert run_jobs() == 0
    superuser.execute("update core_outbox set due_at = now() + interval '5 seconds'")
    assert sweeping.sweep(settled=NOW) == 1
    assert len(list(contents.scheduled())) == 2, "handed over a little early, and due to the second"
