"""Refreshing, and everybody else while people log in, beside Express and Sequelize: ``make bench-auth``.

Refreshes: 16 clients, each walking a session of its own, with one and with two processes. Then a trivial signed-in GET
(``/api/auth/csrf``: the token is verified, something is signed) 100 times a second, due at fixed moments and timed from
them, alone and while four clients log in without pause. Rounds alternate between the board and the peer, and each
figure is the median of its rounds. Both hash passwords alike (argon2id, 19 MiB, two passes) off their loops; the
peer's rotation is the usual one, a row for each token. Needs Node and npm for the peer; without them the board is
measured alone. About two minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.common import counting_statements, record, testbed
from benchmarks.contenders import Contender, Posts, board, express, install_peer
from benchmarks.rounds import ENVIRON, Figures, alternating, post, tell
from core.data.models import new_id
from core.data.tenancy import DEFAULT
from plugins.auth.hashers import NEW

CLIENTS = 16
SECONDS = 3.0
COUNTED = 50  # refreshes whose statements are counted
RATE = 100.0  # of the trivial route, a second
STORMING = 4
LEAD = 0.5  # the storm begins before what is measured, and ends after it
ACCOUNTS = 256  # one account may log in 20 times a minute
PASSWORD = "correct horse battery"

REFRESH, LOG_IN, TRIVIAL = "/api/auth/refresh", "/api/auth/login", "/api/auth/csrf"


def email(number: int) -> str:
    return f"person{number}@example.com"


def fill(url: str, *, peer: bool) -> None:
    """The same accounts for both: one password, one hash, which both can verify."""
    digest = NEW.hash(PASSWORD.encode())
    rows = [(new_id(), email(number), f"Person {number}", digest) for number in range(ACCOUNTS)]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.cursor().executemany(
            "insert into auth_users (id, tenant_id, email, display_name, password_hash, active, must_reset, created_at,"
            f" updated_at) values (%s, '{DEFAULT.id}', %s, %s, %s, true, false, now(), now())",
            rows,
        )
        admin.execute("vacuum analyze auth_users")
        if peer:
            admin.cursor().executemany(
                "insert into peer_users (id, email, display_name, password_hash, active, created_at, updated_at)"
                " values (%s, %s, %s, %s, true, now(), now())",
                rows,
            )
            admin.execute("vacuum analyze peer_users")


def signed_in(server: Contender, number: int) -> dict[str, Any]:
    return post(server, LOG_IN, {"email": email(number), "password": PASSWORD})


def walk(server: Contender, number: int) -> dict[str, str]:
    """What the first refresh of a new session sends."""
    return {"refresh_token": signed_in(server, number)["refresh_token"]}


# -- refreshing ---------------------------------------------------------------------------------------------------


def refreshing(servers: list[Contender]) -> dict[str, Figures]:
    walks = {
        server.name: Posts(
            [{"refresh_token": signed_in(server, number)["refresh_token"]} for number in range(CLIENTS)],
            "refresh_token",
        )
        for server in servers
    }

    by_name = {server.name: server for server in servers}

    def one_round(name: str, seconds: float = SECONDS) -> Figures:
        server = by_name[name]
        figures = server.load(REFRESH, "", CLIENTS, seconds, posts=walks[server.name])
        if figures["failed"]:
            raise SystemExit(f"{server.name} refused {figures['failed']:.0f} refreshes:\n{server.log()}")
        return figures

    for name in by_name:
        one_round(name, 1)
    return alternating(list(by_name), one_round)


def statements(server: Contender, superuser_url: str, log: Path) -> float:
    """SQL statements a refresh, ``begin`` and ``commit`` among them."""
    body = walk(server, CLIENTS)
    with counting_statements(superuser_url, log) as count:
        for _ in range(COUNTED):
            body = {"refresh_token": post(server, REFRESH, body)["refresh_token"]}
        return round(count() / COUNTED, 1)


def measure_refreshing(
    servers: list[Contender], processes: int, database: tuple[str, Path], keep: bool, versions: dict[str, str]
) -> None:
    found = refreshing(servers)
    for server in servers:
        found[server.name] |= {"sql": statements(server, *database), "mib": server.memory()}
    tell("refresh", "auth", processes, found, keep, versions)


# -- while people log in ------------------------------------------------------------------------------------------


def storming(servers: list[Contender]) -> dict[str, Figures]:
    tokens = {server.name: signed_in(server, 0)["access_token"] for server in servers}
    people = Posts([{"email": email(number), "password": PASSWORD} for number in range(ACCOUNTS)])

    by_name = {server.name: server for server in servers}

    def one_round(name: str) -> Figures:
        server = by_name[name]

        def trivial() -> Figures:
            return server.load(TRIVIAL, tokens[server.name], CLIENTS, SECONDS, rate=RATE)

        idle = trivial()
        with ThreadPoolExecutor(1) as pool:
            storm = pool.submit(server.load, LOG_IN, "", STORMING, SECONDS + 3 * LEAD, posts=people)
            time.sleep(2 * LEAD)  # half of it for the generator to come up
            beside = trivial()
            log_ins = storm.result()
        if idle["failed"] or beside["failed"] or log_ins["failed"]:
            raise SystemExit(f"{server.name} refused some of {idle}, {beside}, {log_ins}:\n{server.log()}")
        return {
            "idle p50": idle["p50"],
            "idle p99": idle["p99"],
            "p50": beside["p50"],
            "p99": beside["p99"],
            "log-ins": log_ins["rate"],
            "log-in p50": log_ins["p50"],
        }

    for server in servers:
        server.load(TRIVIAL, tokens[server.name], CLIENTS, 1)
        server.load(LOG_IN, "", STORMING, 1, posts=people)
    return alternating(list(by_name), one_round)


def measure_storming(servers: list[Contender], keep: bool, versions: dict[str, str]) -> None:
    found = storming(servers)
    told = []
    for server in servers:
        figures = found[server.name]
        told.append(
            f"{server.name} p50 {figures['p50']:.1f} ms, p99 {figures['p99']:.1f} (idle {figures['idle p50']:.1f},"
            f" {figures['idle p99']:.1f}), {figures['log-ins']:.0f} log-ins/s of {figures['log-in p50']:.0f} ms,"
            f" {server.memory():.0f} MiB"
        )
        print(f"{f'beside {STORMING} logging in':<22} {told[-1]}", flush=True)
    ratio = ""
    if len(servers) > 1:
        ours, theirs = (found[server.name] for server in servers)
        ratio = (
            f"p99 {ours['p99'] / theirs['p99']:.2f} × Express (idle {ours['idle p99'] / theirs['idle p99']:.2f}),"
            f" {ours['log-ins'] / theirs['log-ins']:.2f} × its log-ins"
        )
        print(f"{'':<22} {ratio}", flush=True)
    if keep:
        record(f"auth, {RATE:.0f} GET/s beside {STORMING} logging in", "; ".join(told), ratio, versions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="add rows to benchmarks/RESULTS.md")
    given = parser.parse_args()
    node = install_peer()
    if not node:
        print("Node or npm is not here: the board is measured alone")
    versions = {"Node": node} if node else {}
    with testbed(**ENVIRON) as (servers, bed):
        assert servers.postgres
        for processes in (1, 2):
            with contextlib.ExitStack() as stack:
                running = [board(processes)]
                stack.callback(running[0].close)
                if node:
                    running.append(express(processes, bed.superuser_url))
                    stack.callback(running[1].close)
                if processes == 1:
                    fill(bed.superuser_url, peer=bool(node))
                measure_refreshing(
                    running, processes, (bed.superuser_url, servers.postgres.log), given.record, versions
                )
                if processes == 1:
                    measure_storming(running, given.record, versions)


if __name__ == "__main__":
    main()
