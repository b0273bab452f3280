"""The levers that save time rather than memory: part of ``make levers``.

The two that want load are each a board with the lever beside one without, loaded in turns as benchmarks/http.py does.
"""

from __future__ import annotations

import contextlib
import functools
import statistics
import sys
import time
from collections.abc import Iterator
from unittest import mock

from flask import Flask
from jwt.algorithms import HMACAlgorithm

from benchmarks.common import testbed
from benchmarks.contenders import board
from benchmarks.http import ENVIRON, SAMPLE, Figures, compare, fill, sign_up
from core.app import create_app
from core.contracts import Principal
from core.data.models import new_id
from core.data.tenancy import DEFAULT
from core.trust import identity

CALLS, ROUNDS = 1000, 7
CONFIG = "-c python:benchmarks.levers_gunicorn"

Row = tuple[str, str, str]


def speed() -> Iterator[Row]:
    sys.path.insert(0, SAMPLE)
    with testbed(**ENVIRON) as (_, bed):
        fill(bed.superuser_url)
        yield keys(create_app("web"))
        yield loaded("turn", "the loop's turn after a request, /livez", "/livez")
        yield loaded("wait", "psycopg waits in gevent's hub, list of 20", "/api/shelf/books?limit=20", signed=True)


class Sessions:
    """Answers as the one that asks the sessions' table would; that question is measured elsewhere."""

    def session_stands(self, who: Principal, issued: int) -> bool:
        return True


def keys(app: Flask) -> Row:
    """``verify_access_token`` but for its question to the sessions' table, where PyJWT prepares a key once or always.

    It looks through a shared secret at each call, lest that be a public key in one of its many spellings; a ``PyJWK``
    spares it nothing of that. "Once" is the same search with its answer kept.
    """
    always = HMACAlgorithm.prepare_key
    taken: dict[str, list[float]] = {"once": [], "always": []}
    with app.app_context(), mock.patch.object(identity, "service", lambda contract: Sessions()):  # noqa: PT008
        token, _ = identity.mint_access_token(new_id(), new_id(), DEFAULT.id)
        for _ in range(ROUNDS):
            for name, prepare in (("once", functools.cache(always)), ("always", always)):
                with mock.patch.object(HMACAlgorithm, "prepare_key", prepare):
                    began = time.process_time()
                    for _ in range(CALLS):
                        identity.verify_access_token(token)
                    taken[name].append((time.process_time() - began) / CALLS * 1e6)
    fast, slow = statistics.median(taken["once"]), statistics.median(taken["always"])
    figures = f"prepared once {fast:.0f} µs of CPU a token; at each call, as the board does, {slow:.0f}"
    return "prepared JWT keys", figures, f"{fast / slow:.2f} × the time"


def loaded(lever: str, what: str, path: str, signed: bool = False) -> Row:
    with contextlib.ExitStack() as stack:
        servers = []
        for name, turned_off in (("with", ""), ("without", lever)):
            servers.append(board(1, name=name, GUNICORN_CMD_ARGS=CONFIG, LEVERS_OFF=turned_off))
            stack.callback(servers[-1].close)
        found = compare(servers, path, sign_up(servers[0]) if signed else "")
    on, off = found["with"], found["without"]
    ratio = f"{on['rate'] / off['rate']:.2f} × the rate, {on['cpu_ms'] / off['cpu_ms']:.2f} × the CPU"
    return what, f"{_told(on)}; without {_told(off)}", f"{ratio}, p99 {on['p99'] / off['p99']:.2f} ×"


def _told(figures: Figures) -> str:
    return (
        f"{figures['rate']:.0f}/s, p50 {figures['p50']:.0f} ms, p99 {figures['p99']:.0f}, max {figures['max']:.0f},"
        f" CPU {figures['cpu_ms']:.2f} ms"
    )
