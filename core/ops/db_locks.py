"""Who waits for whom in PostgreSQL: sessions as a tree, the one that holds all others up at the top.

Read over a connection of its own that waits for nothing. Statements are shown as PostgreSQL has them, with ``$1`` where
values are: the board sends those apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.rows import dict_row

SHOWN = 100
_SESSIONS = """
    select a.pid, a.application_name as application, a.usename as role, a.state, pg_blocking_pids(a.pid) as waits_for,
        round(extract(epoch from now() - a.xact_start))::int as transaction_seconds,
        round(extract(epoch from now() - a.state_change))::int as state_seconds,
        l.mode as wants, l.relation::regclass::text as relation, a.query
    from pg_stat_activity a
    left join lateral (
        select mode, relation from pg_locks where pid = a.pid and not granted order by relation is null limit 1
    ) l on true
    where a.datname = current_database() and a.pid <> pg_backend_pid()
"""


def sessions(url: str) -> list[dict[str, Any]]:
    """Every session that waits for another, or is waited for, in the order of the tree; ``depth`` is 0 at the top."""
    with psycopg.connect(
        url.replace("postgresql+psycopg://", "postgresql://"),
        autocommit=True,
        connect_timeout=5,
        application_name="pegboard-locks",
        options="-c statement_timeout=5s -c lock_timeout=1s",
        row_factory=dict_row,
    ) as connection:
        found = {row["pid"]: row for row in connection.execute(_SESSIONS)}
    for row in found.values():
        row["waits_for"] = sorted(set(row["waits_for"]))
        row["query"] = " ".join((row["query"] or "").split())[:SHOWN]
    held_up = {pid for row in found.values() for pid in row["waits_for"]}
    roots = [pid for pid in found if pid in held_up and not set(found[pid]["waits_for"]) & set(found)]
    return list(_tree(found, roots))


def _tree(found: dict[int, dict[str, Any]], roots: list[int]) -> Iterator[dict[str, Any]]:
    seen: set[int] = set()

    def below(pid: int, depth: int) -> Iterator[dict[str, Any]]:
        if pid in seen:
            return
        seen.add(pid)
        yield {**found[pid], "depth": depth}
        for other, row in found.items():
            if pid in row["waits_for"]:
                yield from below(other, depth + 1)

    for root in roots:
        yield from below(root, 0)
    # A circle has no top: PostgreSQL breaks it within a second, and until then it is told as it is found.
    for pid, row in found.items():
        if row["waits_for"]:
            yield from below(pid, 0)


def told(row: dict[str, Any]) -> str:
    """One session in a line."""
    waits = f" waits for {row['wants']} on {row['relation'] or 'a row'}" if row["wants"] else ""
    held = f", in a transaction for {row['transaction_seconds']} s" if row["transaction_seconds"] is not None else ""
    who = f"{row['pid']} {row['application'] or '-'} ({row['role'] or 'another role'})"
    state = f"{row['state'] or 'of another role: only pg_read_all_stats sees more'} for {row['state_seconds'] or 0} s"
    return f"{'  ' * row['depth']}{who}{waits}; {state}{held}: {row['query'] or '-'}"
