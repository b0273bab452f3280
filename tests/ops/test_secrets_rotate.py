"""``flask secrets rotate``: a new key first, what is sealed sealed anew, and the old one gone without a loss."""

from __future__ import annotations

import secrets as dice
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import Result
from flask import Flask

from core.background.queue import delivery
from core.contracts import SYSTEM, Tenant
from core.data import redis
from core.data.models import db, new_id
from core.data.outbox import Envelope
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.data.unit import unit
from core.ops import secrets as command
from core.trust import secrets
from core.web.idempotency import IdempotencyKey

OLD, NEW = dice.token_urlsafe(48), dice.token_urlsafe(48)
Superuser = psycopg.Connection[Any]


@pytest.fixture
def boards(board: Flask, make_board: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Flask]:
    """A board whose SECRET_KEYS are these, on emptied servers."""

    def make(keys: str) -> Flask:
        monkeypatch.setenv("SECRET_KEYS", keys)
        return make_board("cli")

    return make


def rotate(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(command.group, ["rotate", *words])


def keep(app: Flask, count: int, tenant: Tenant = DEFAULT) -> None:
    """Replies kept under Idempotency-Key, as the board seals them."""
    with app.app_context(), acting_in(tenant), unit():
        for _ in range(count):
            sealed = secrets.seal("idempotency", b"a token")
            row = {"principal": "anonymous", "route": "r", "key": str(new_id()), "fingerprint": b"", "body": sealed}
            db.session.add(IdempotencyKey(**row))


def made_by(superuser: Superuser) -> dict[str, int]:
    rows = superuser.execute("select split_part(body, '.', 1), count(*) from core_idempotency group by 1")
    return dict(rows.fetchall())


def test_one_key_is_offered_a_new_one(boards: Callable[[str], Flask]) -> None:
    done = rotate(boards(OLD))
    assert done.exit_code == 0
    offered = next(line for line in done.output.splitlines() if line.strip().startswith("SECRET_KEYS=")).strip()
    assert len(offered.removeprefix("SECRET_KEYS=").partition(",")[0]) == 64
    assert OLD not in done.output and secrets.key_id(OLD) in done.output
    assert rotate(boards(f"{NEW},{OLD}")).output.count("SECRET_KEYS=") == 0
    assert "SECRET_KEYS=" in rotate(boards(f"{NEW},{OLD}"), "--new").output


def test_what_is_sealed_is_sealed_anew_in_every_tenant(boards: Callable[[str], Flask], superuser: Superuser) -> None:
    before = boards(OLD)
    keep(before, 7)
    keep(before, 2, PLATFORM)
    touched = superuser.execute("select max(updated_at) from core_idempotency").fetchone()
    both = boards(f"{NEW},{OLD}")
    keep(both, 1)

    told = rotate(both, "--dry-run").output
    assert "core_idempotency.body: 9 would be sealed anew, 1 are under the first key" in told
    assert made_by(superuser) == {secrets.key_id(OLD): 9, secrets.key_id(NEW): 1}

    done = rotate(both, "--batch", "2")
    assert "core_idempotency.body: 9 sealed anew" in done.output and done.exit_code == 0
    assert made_by(superuser) == {secrets.key_id(NEW): 10}
    assert superuser.execute("select min(updated_at) < max(updated_at) from core_idempotency").fetchone() == (True,)
    assert touched is not None
    assert not any(key in done.output for key in (OLD, NEW))
    with boards(NEW).app_context(), acting_in(DEFAULT), unit():
        for row in db.session.scalars(db.select(IdempotencyKey)):
            assert secrets.open_sealed("idempotency", row.body or "") == b"a token"


def test_a_run_that_was_killed_goes_on(
    boards: Callable[[str], Flask], superuser: Superuser, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(boards(OLD), 9)
    both = boards(f"{NEW},{OLD}")
    real, count = secrets.reseal, iter(range(100))

    def dying(purpose: str, text: str) -> str:
        if next(count) == 5:
            raise KeyboardInterrupt
        return real(purpose, text)

    monkeypatch.setattr(secrets, "reseal", dying)
    rotate(both, "--batch", "2")
    assert made_by(superuser) == {secrets.key_id(OLD): 5, secrets.key_id(NEW): 4}
    assert "5 sealed anew, 4 are under" in rotate(both).output
    assert made_by(superuser) == {secrets.key_id(NEW): 9}


def test_what_no_listed_key_reads_is_told_and_left(boards: Callable[[str], Flask], superuser: Superuser) -> None:
    keep(boards(dice.token_urlsafe(48)), 3)
    keep(boards(OLD), 2)
    done = rotate(boards(f"{NEW},{OLD}"), "--batch", "1")
    assert "2 sealed anew" in done.output and "3 were sealed with a key that is not listed" in done.output
    assert made_by(superuser)[secrets.key_id(NEW)] == 2


def test_a_job_that_waits_keeps_the_old_key(boards: Callable[[str], Flask]) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    with boards(OLD).app_context():
        delivery.push([Envelope(new_id(), "task", "core.notify_mail", {}, due_at=due) for due in (None, later)])
    both = boards(f"{NEW},{OLD}")
    with both.app_context():
        delivery.push([Envelope(new_id(), "task", "core.notify_mail", {}, principal=SYSTEM)])
    done = rotate(both)
    assert (done.exit_code, f"jobs on the queue: 2 still need {secrets.key_id(OLD)}" in done.output) == (1, True)


def test_the_old_key_goes_when_all_that_it_signed_has_expired(boards: Callable[[str], Flask]) -> None:
    both = boards(f"{NEW},{OLD}")
    until = datetime.now(UTC) + command.SIGNED["links to stored objects"]
    done = rotate(both)
    assert f"Keep it until {until:%Y-%m-%d}" in done.output and done.exit_code == 0
    assert rotate(both).output == done.output
    with both.app_context():
        place = redis.board_key("core", "secret_keys")
        redis.client().hset(place, secrets.key_id(NEW), (datetime.now(UTC) - timedelta(days=8)).isoformat())
    assert f"{secrets.key_id(OLD)} may go" in rotate(both).output


def test_without_redis_nothing_is_promised(
    boards: Callable[[str], Flask], monkeypatch: pytest.MonkeyPatch, superuser: Superuser
) -> None:
    keep(boards(OLD), 1)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    done = rotate(boards(f"{NEW},{OLD}"))
    assert (done.exit_code, "Redis does not answer" in done.output, "Keep it until" in done.output) == (1, True, False)
    assert made_by(superuser) == {secrets.key_id(NEW): 1}


def test_every_purpose_that_is_sealed_has_a_column_that_says_so() -> None:
    assert [(str(each), each.purpose) for each in command.sealed_columns()] == [
        ("core_idempotency.body", "idempotency")
    ]
