"""The ground floor under load, beside Express and Sequelize: ``make bench-http``.

An authenticated GET of one row and of a list of 20 (the sample plugin's ``/api/shelf/books``), on the same tables and
rows, with one and with two processes; rounds alternate between the board and the peer, and each figure is the median
of its rounds. Both read through their ORM. The board does what it always does: tenant, permission (a query), a
transaction under row-level security; the peer verifies the token and reads. Then 32 clients on a pool of 10. Needs
Node and npm for the peer, whose packages it installs; without them the board is measured alone. About two minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import urllib.request
from pathlib import Path
from uuid import UUID

import psycopg

from benchmarks.common import ROOT, counting_statements, record, testbed
from benchmarks.contenders import Contender, board, express, install_peer
from benchmarks.rounds import ENVIRON, Figures, alternating, sign_up, tell
from core.data.models import new_id
from core.data.tenancy import DEFAULT

ROWS = 1000
CONNECTIONS = 16
SECONDS = 3.0
COUNTED = 100  # requests whose statements are counted
CROWD = 32  # clients on a pool of 10

SAMPLE = str(ROOT / "tests" / "sample")  # on the import path, the tests' plugin counts as installed

SETTINGS = {**ENVIRON, "PYTHONPATH": SAMPLE}


def fill(url: str) -> UUID:
    """Lay down the rows; the id of one in the middle."""
    ids = [new_id() for _ in range(ROWS)]
    statement = (
        "insert into shelf_books (id, tenant_id, title, version, created_at, updated_at)"
        " values (%s, %s, %s, 1, now() - %s * interval '1 minute', now())"
    )
    with psycopg.connect(url, autocommit=True) as admin:
        rows = [(id, DEFAULT.id, f"Book number {number}, in one volume", number) for number, id in enumerate(ids)]
        admin.cursor().executemany(statement, rows)
        admin.execute("vacuum analyze shelf_books")
    return ids[ROWS // 2]


def statements(server: Contender, path: str, token: str, superuser_url: str, log: Path) -> float:
    """SQL statements a request, ``begin`` and ``commit`` among them."""
    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {token}"})
    with counting_statements(superuser_url, log) as count:
        for _ in range(COUNTED):
            with urllib.request.urlopen(request, timeout=10) as reply:
                reply.read()
        return round(count() / COUNTED, 1)


def compare(servers: list[Contender], path: str, token: str) -> dict[str, Figures]:
    by_name = {server.name: server for server in servers}
    for server in servers:
        server.load(path, token, CONNECTIONS, 1)
    return alternating(list(by_name), lambda name: by_name[name].load(path, token, CONNECTIONS, SECONDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="add rows to benchmarks/RESULTS.md")
    given = parser.parse_args()
    node = install_peer()
    if not node:
        print("Node or npm is not here: the board is measured alone")
    sys.path.insert(0, SAMPLE)
    with testbed(**SETTINGS) as (servers, bed):
        one_id = fill(bed.superuser_url)
        assert servers.postgres
        paths = {"one row": f"/api/shelf/books/{one_id}", "list of 20": "/api/shelf/books?limit=20"}
        token = ""
        for processes in (1, 2):
            with contextlib.ExitStack() as stack:
                running = [board(processes)]
                stack.callback(running[0].close)
                if node:
                    # As its users would have it: a role that no policy binds, the tenant in each query.
                    running.append(express(processes, bed.superuser_url))
                    stack.callback(running[1].close)
                token = token or sign_up(running[0])["access_token"]
                measure(running, processes, paths, token, (bed.superuser_url, servers.postgres.log), given.record, node)


def measure(
    running: list[Contender],
    processes: int,
    paths: dict[str, str],
    token: str,
    database: tuple[str, Path],
    keep: bool,
    node: str,
) -> None:
    for what, path in paths.items():
        found = compare(running, path, token)
        for server in running:
            sql = statements(server, path, token, *database)
            found[server.name] |= {"sql": sql, "mib": server.memory()}
        tell(what, "http", processes, found, keep, {"Node": node} if node else {})
    if processes == 1:
        for server in running:
            crowd = server.load(paths["list of 20"], token, CROWD, SECONDS)
            told = (
                f"{crowd['rate']:.0f}/s, p50 {crowd['p50']:.0f} ms, p99 {crowd['p99']:.0f},"
                f" failed {crowd['failed']:.0f}, slowest {crowd['max']:.0f} ms"
            )
            print(f"{f'{CROWD} clients, pool 10':<24} {server.name} {told}", flush=True)
            if keep and server.name == "board":
                record(f"http, {CROWD} clients on a pool of 10", told, "")


if __name__ == "__main__":
    main()
