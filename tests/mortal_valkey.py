"""A Valkey of its own for tests that kill it, and a ground whose processes have it die at a call of theirs.

It runs as in `make run`, with its append-only file, and is back on the same port a moment later. Import the fixtures.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any, NamedTuple

import pytest
from flask import Flask
from grounds import MOMENTS, Ground, Point, opened, revived

from core.app import create_app
from core.data import DEFAULT, acting_in, redis
from core.data.redis import clear_caches
from core.ops.embedded import start
from core.ops.servers import Valkey
from core.ops.testbed import TestServers, let_go


class Strike(NamedTuple):
    """A point, at which call there the server dies, and at which moment of it."""

    point: Point
    nth: int
    moment: str


def every(*points: Point) -> list[Strike]:
    return [Strike(point, nth, moment) for point in points for nth in point.calls for moment in MOMENTS]


def each_once(*points: Point, whole: str = "") -> list[Strike]:
    """The last call at each point, at one moment in turn; at the site ``whole``, at all of them."""
    moments = cycle(MOMENTS)
    return [
        Strike(point, point.calls[-1], moment)
        for point in points
        for moment in (MOMENTS if point.site == whole else [next(moments)])
    ]


class Mortal:
    """The ground, and the server; ``slowest``: seconds from a kill until the process had no more to do, at most."""

    def __init__(self, ground: Ground, server: Valkey) -> None:
        self.ground = ground
        self.server = server
        self.kills = 0
        self.slowest = 0.0

    def kill(self, role: str, site: str, nth: int, moment: str, **more: Any) -> int:
        """Have it killed and started again; answers how the process ended, which is not killed."""
        began = time.monotonic()
        with revived(self.server) as pid:
            came = self.ground(role, site, nth, moment, server=pid, **more)
        assert came in (0, 1), f"{role} did not come to {site}, call {nth}, {moment=}: {came}"
        self.kills += 1
        self.slowest = max(self.slowest, time.monotonic() - began)
        return came


@contextmanager
def opened_on(server: Valkey, script: str, **environ: str) -> Iterator[Mortal]:
    with opened(script, {**os.environ, **environ, "REDIS_URL": server.url}) as ground:
        yield Mortal(ground, server)


@pytest.fixture(scope="module")
def valkey(servers: TestServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    own = start(tmp_path_factory.mktemp("valkey"), durable=True, only=("valkey",))
    assert own.valkey
    yield own.valkey
    own.stop()


@pytest.fixture(scope="module")
def mortal_board(valkey: Valkey) -> Iterator[Flask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", valkey.url)
        app = create_app("web")
    yield app
    let_go(app)


@pytest.fixture
def mortal_ctx(board: Flask, mortal_board: Flask) -> Iterator[Flask]:
    """In the tenant ``default`` of the board whose server may die, with every store emptied."""
    with mortal_board.app_context(), acting_in(DEFAULT):
        redis.client().flushdb()
        clear_caches()
        yield mortal_board
