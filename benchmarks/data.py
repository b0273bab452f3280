"""Resources under load, beside Express and Sequelize: ``make bench-data``.

A list of 20, one row, and a new row of commerce's customers, by an administrator, with one and with two processes. The
board answers twice: ``board`` is the resource, whose lists are rows and whose changes are audited; ``ORM`` is
the same routes by hand in ``benchmarks/plain``, through mapped classes and without a history, as the peer has them.
All three use one table. The board's two ask who may, and run under row-level security; the peer verifies the token and
reads. Rounds alternate, and each figure is the median of its rounds. Needs Node and npm for the peer, whose packages it
installs; without them the board is measured alone. About three minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import urllib.request
from pathlib import Path
from uuid import UUID

import psycopg

from benchmarks.common import ROOT, counting_statements, testbed
from benchmarks.contenders import Contender, Posts, board, express, install_peer
from benchmarks.rounds import ENVIRON, Figures, alternating, post, sign_up, tell
from core.data.models import new_id
from core.data.tenancy import DEFAULT

ROWS = 5000
CONNECTIONS = 16
SECONDS = 3.0
COUNTED = 50  # requests whose statements are counted

PLAIN = str(ROOT / "benchmarks" / "plain")  # on the import path, its plugin counts as installed

NEW = {"name": "Carol", "email": "carol-{unique}@example.com", "tags": ["regular", "tea"]}


def fill(url: str) -> UUID:
    """Lay down the rows; the id of one in the middle."""
    ids = [new_id() for _ in range(ROWS)]
    statement = (
        "insert into commerce_customers (id, tenant_id, name, email, status, tags, version, created_at, updated_at)"
        f" values (%s, '{DEFAULT.id}', %s, %s, 'active', '{{regular,tea}}', 1, now() - %s * interval '1 minute', now())"
    )
    rows = [(id, f"Customer {number}", f"customer{number}@example.com", number) for number, id in enumerate(ids)]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.cursor().executemany(statement, rows)
        admin.execute("vacuum analyze commerce_customers")
    return ids[ROWS // 2]


def administrator(server: Contender, url: str) -> str:
    """The access token of an account that may do everything in the tenant."""
    account = sign_up(server)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "insert into core_role_assignments (id, tenant_id, principal_id, role, created_at, updated_at)"
            " values (%s, %s, %s, 'admin', now(), now())",
            (new_id(), DEFAULT.id, account["user"]["id"]),
        )
    return str(account["access_token"])


class Way:
    """One contender's way to the customers: ``board`` and ``ORM`` are two of one server."""

    def __init__(self, name: str, server: Contender, path: str) -> None:
        self.name = name
        self.server = server
        self.path = path


def measure(ways: list[Way], what: str, query: str, token: str) -> dict[str, Figures]:
    posts = Posts([NEW]) if what == "create" else None
    by_server = {way.name: way for way in ways}

    def one_round(name: str, seconds: float = SECONDS) -> Figures:
        way = by_server[name]
        figures = way.server.load(way.path + query, token, CONNECTIONS, seconds, posts=posts)
        if figures["failed"]:
            raise SystemExit(f"{name} refused {figures['failed']:.0f} of {what}:\n{way.server.log()}")
        return figures

    for name in by_server:
        one_round(name, 1)
    return alternating(list(by_server), one_round)


def statements(way: Way, what: str, query: str, token: str, database: tuple[str, Path]) -> float:
    """SQL statements a request, ``begin`` and ``commit`` among them."""
    with counting_statements(*database) as count:
        for number in range(COUNTED):
            if what == "create":
                post(way.server, way.path, {**NEW, "email": f"{way.name}{number}-{new_id()}@example.com"}, token)
            else:
                headers = {"Authorization": f"Bearer {token}"}
                asked = urllib.request.Request(way.server.url + way.path + query, headers=headers)
                with urllib.request.urlopen(asked, timeout=10) as reply:
                    reply.read()
        return round(count() / COUNTED, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="add rows to benchmarks/RESULTS.md")
    parser.add_argument("--processes", type=int, choices=(1, 2), help="with so many only")
    given = parser.parse_args()
    node = install_peer()
    if not node:
        print("Node or npm is not here: the board is measured alone")
    versions = {"Node": node} if node else {}
    sys.path.insert(0, PLAIN)
    with testbed(PYTHONPATH=PLAIN, **ENVIRON) as (servers, bed):
        assert servers.postgres
        database = bed.superuser_url, servers.postgres.log
        one_id = fill(bed.superuser_url)
        token = ""
        for processes in (given.processes,) if given.processes else (1, 2):
            with contextlib.ExitStack() as stack:
                ours = board(processes)
                stack.callback(ours.close)
                ways = [Way("board", ours, "/api/commerce/customers"), Way("ORM", ours, "/api/plain/customers")]
                if node:
                    # As its users would have it: a role that no policy binds, the tenant in each query.
                    peer = express(processes, bed.superuser_url)
                    stack.callback(peer.close)
                    ways.append(Way("Express", peer, "/api/commerce/customers"))
                token = token or administrator(ours, bed.superuser_url)
                for what, query in {"list of 20": "?limit=20", "get": f"/{one_id}", "create": ""}.items():
                    found = measure(ways, what, query, token)
                    for way in ways:
                        sql = statements(way, what, query, token, database)
                        found[way.name] |= {"sql": sql, "mib": way.server.memory()}
                    tell(what, "data", processes, found, given.record, versions)


if __name__ == "__main__":
    main()
