"""The audit log: appended with the change, sealed into a chain, and every tampering named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask, g

from core.contracts import Principal
from core.data.models import db, new_id
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.data.unit import unit
from core.ops.audit import group
from core.ops.testbed import TestServers
from core.trust.audit import ChainBroken, Verified, record, seal, verify_chain
from core.trust.identity import acting_as

ALICE = UUID("00000000-0000-7000-8000-0000000000a1")
Superuser = psycopg.Connection[Any]


def entries(count: int, action: str = "shelf.book_changed") -> None:
    for number in range(count):
        with unit():
            record(action, kind="book", id=new_id(), after={"number": number})


def tamper(superuser: Superuser, statement: str) -> None:
    """As somebody who may do anything, triggers switched off."""
    with superuser.transaction():
        superuser.execute("set local session_replication_role = replica")
        superuser.execute(statement)  # type: ignore[arg-type]


@pytest.fixture
def plain(servers: TestServers, ctx: Flask) -> Callable[..., Any]:
    """Run a statement as the app's own role, in the tenant ``default`` and under a bypass."""

    def run(statement: str, bypass: str = "") -> Any:
        with psycopg.connect(servers.database_url) as connection:
            connection.execute(
                "select set_config('pegboard.tenant', %s, true), set_config('pegboard.bypass', %s, true)",
                (str(DEFAULT.id), bypass),
            )
            return connection.execute(statement).rowcount  # type: ignore[arg-type]

    return run


def test_an_entry_says_who_did_what_and_shares_the_fate_of_the_change(ctx: Flask, superuser: Superuser) -> None:
    g.pegboard_acting_reason = "ticket 12"
    with acting_as(Principal("user", ALICE, DEFAULT.id)), unit():
        record("shelf.book_changed", kind="book", id=ALICE, before={"by": ALICE}, after={"by": None}, reason="asked to")
    with suppress(ZeroDivisionError), unit():
        record("shelf.book_lost")
        raise ZeroDivisionError
    with pytest.raises(LookupError):
        record("shelf.book_lost")
    query = (
        "select tenant_id, actor_kind, actor_id, acting_reason, action, kind, resource_id, before, after, reason, seq"
    )
    assert superuser.execute(f"{query} from core_audit").fetchall() == [
        (DEFAULT.id, "user", ALICE, "ticket 12", "shelf.book_changed", "book", str(ALICE),
         {"by": str(ALICE)}, {"by": None}, "asked to", None)
    ]  # fmt: skip


def test_entries_are_fenced_and_the_boards_own_are_seen_where_there_is_no_tenant(board: Flask) -> None:
    def seen() -> int | None:
        with unit():
            return db.session.scalar(sa.text("select count(*) from core_audit"))

    with board.app_context():
        entries(1)
        assert seen() == 1
        with acting_in(DEFAULT):
            entries(2)
            assert seen() == 2
        with acting_in(PLATFORM):
            assert seen() == 0
        assert seen() == 1


def test_what_is_sealed_verifies_in_one_chain_whatever_it_holds(ctx: Flask) -> None:
    assert verify_chain().count == 0
    entries(4)
    with unit():
        record("shelf.odd", after={"huge": 10**40, "small": 1e-300, "text": "ü\n\u2028\x7f", "deep": [{"a": []}]})
    assert (seal(limit=3), seal(limit=3), seal()) == (3, 2, 0)
    entries(1)
    first = verify_chain()
    assert (first.count, first.unsealed) == (5, 1)
    assert seal() == 1
    whole = verify_chain(known=first.head)
    assert whole.count == 6
    assert whole.head != first.head
    assert verify_chain(from_seq=4) == Verified(3, whole.head, 0)


def test_an_entry_that_commits_late_is_sealed_later(ctx: Flask, servers: TestServers) -> None:
    early = new_id()
    with psycopg.connect(servers.database_url) as slow:
        slow.execute("select set_config('pegboard.tenant', %s, true)", (str(DEFAULT.id),))
        slow.execute(
            "insert into core_audit (id, tenant_id, at, actor_kind, action) values (%s, %s, now(), 'system', 'late')",
            (early, DEFAULT.id),
        )
        entries(2)
        assert seal() == 2
    assert seal() == 1
    with unit():
        assert db.session.scalar(sa.text("select seq from core_audit where id = :id"), {"id": early}) == 3
    assert verify_chain().count == 3


@pytest.mark.parametrize(("column", "value"), [
    ("after", "jsonb_set(after, '{number}', '7')"),
    ("at", "at + interval '1 microsecond'"),
    ("actor_id", "gen_random_uuid()"),
    ("tenant_id", "null"),
    ("reason", "''"),
    ("hash", "sha256('x')"),
    ("previous_hash", "sha256('x')"),
])  # fmt: skip
def test_an_altered_entry_is_named(ctx: Flask, superuser: Superuser, column: str, value: str) -> None:
    entries(5)
    seal()
    tamper(superuser, f"update core_audit set {column} = {value} where seq = 3")
    with pytest.raises(ChainBroken) as told:
        verify_chain()
    assert told.value.seq == 3


def test_missing_moved_and_cut_off_entries_are_named(ctx: Flask, superuser: Superuser) -> None:
    entries(6)
    seal()
    head = verify_chain().head
    tamper(superuser, "delete from core_audit where seq = 6")
    assert verify_chain().count == 5
    with pytest.raises(ChainBroken, match="the known head is not in the chain"):
        verify_chain(known=head)
    entries(1)
    seal()
    with pytest.raises(ChainBroken):
        verify_chain(known=head)
    tamper(superuser, "update core_audit set seq = -seq where seq in (3, 4)")
    tamper(superuser, "update core_audit set seq = 7 + seq where seq < 0")
    with pytest.raises(ChainBroken) as told:
        verify_chain()
    assert told.value.seq == 3
    tamper(superuser, "delete from core_audit where seq in (1, 2)")
    with pytest.raises(ChainBroken, match="entry 1: it is missing"):
        verify_chain()


def test_two_sealers_at_once_make_one_chain(ctx: Flask) -> None:
    entries(60)
    start = threading.Barrier(4)

    def work() -> int:
        with ctx.app_context():
            start.wait(10)
            return sum(seal(limit=7) for _ in range(25))

    with ThreadPoolExecutor(4) as pool:
        sealed = sum(each.result(30) for each in [pool.submit(work) for _ in range(4)])
    assert sealed
    while seal():
        pass
    whole = verify_chain()
    assert (whole.count, whole.unsealed) == (60, 0)


def test_nobody_changes_or_removes_an_entry(plain: Callable[..., Any]) -> None:
    entries(2)
    seal()
    entries(1)
    insert = "insert into core_audit (id, tenant_id, at, actor_kind, action"
    for statement, bypass in (
        ("update core_audit set action = 'other'", ""),
        ("update core_audit set seq = 9, previous_hash = '', hash = '' where seq is null", ""),
        ("update core_audit set seq = 9, previous_hash = '', hash = '', action = '' where seq is null", "audit sealer"),
        ("update core_audit set seq = 9, previous_hash = '' where seq is null", "audit sealer"),
        ("update core_audit set hash = '' where seq = 1", "audit sealer"),
        ("update core_audit set reason = 'x'", "erasure"),
        ("delete from core_audit", ""),
        ("delete from core_audit", "migration"),
        ("truncate core_audit", ""),
        (f"{insert}, seq) select gen_random_uuid(), tenant_id, at, actor_kind, action, 99 from core_audit", ""),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="core_audit is append-only"):
            plain(statement, bypass)
    assert verify_chain().count == 2
    assert plain("delete from core_audit where seq = 1", "erasure") == 1


def test_the_command_proves_the_log_and_fails_at_the_broken_entry(ctx: Flask, superuser: Superuser) -> None:
    run = ctx.test_cli_runner().invoke
    entries(3)
    seal()
    reply = run(group, ["verify"])
    assert reply.exit_code == 0
    assert reply.output.startswith("3 entries hold, 0 are still to be sealed; head ")
    head = reply.output.split()[-1]
    assert run(group, ["verify", "--known", head, "--from", "2"]).exit_code == 0
    assert run(group, ["verify", "--known", "xyz"]).exit_code == 2
    tamper(superuser, "update core_audit set action = 'other' where seq = 2")
    reply = run(group, ["verify"])
    assert reply.exit_code == 1
    assert "broken at entry 2: it was altered" in reply.output
