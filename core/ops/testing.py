"""The pytest plugin: real servers, a board with clean data, real processes. For this project and for plugin authors.

Load it with ``pytest_plugins = ["core.ops.testing"]``. PostgreSQL, Valkey and the document store are started once a
run, from wheels, and shared by all pytest-xdist workers; each worker has a database, a Redis database and a
document database of its own. ``DATABASE_URL`` is a plain role's, as in production, so that row-level security holds.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from core.app import Kind
from core.ops.processes import Process
from core.ops.testbed import TestServers, empty_everything, let_go, prepare

SECRET_KEY = secrets.token_urlsafe(48)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-servers", action="store_true", help="start no servers; tests that need them will fail")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "unit: needs no server")
    if hasattr(config, "workerinput") or config.option.collectonly or config.option.no_servers:
        return
    from core.ops.embedded import start

    folder = tempfile.TemporaryDirectory(prefix="pegboard-tests-", ignore_cleanup_errors=True)
    started = start(Path(folder.name), durable=False)
    config.add_cleanup(folder.cleanup)
    config.add_cleanup(started.stop)
    config.stash[_STARTED] = {
        "superuser_url": started.superuser_url,
        "redis_url": started.redis_url,
        "mongodb_uri": started.mongodb_uri,
        "secret_key": SECRET_KEY,
    }


_STARTED = pytest.StashKey[dict[str, str]]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a pytest-xdist worker where the servers are."""
    node.workerinput["pegboard_servers"] = json.dumps(node.config.stash.get(_STARTED, {}))


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[TestServers]:
    """Where this worker's own, migrated databases are; the environment names them too."""
    given = getattr(request.config, "workerinput", {})
    facts = json.loads(given["pegboard_servers"]) if given else request.config.stash.get(_STARTED, {})
    if not facts:
        pytest.fail("this test needs the servers: run pytest without --no-servers")
    worker = given.get("workerid", "gw0")
    with tempfile.TemporaryDirectory(prefix="pegboard-instance-") as instance:
        bed = prepare(facts, int(worker.removeprefix("gw")))
        os.environ.update(bed.environ(facts["secret_key"], instance))
        bed.migrate()
        yield bed


@pytest.fixture(scope="session")
def app(servers: TestServers) -> Iterator[Flask]:
    """The web board, every installed plugin on."""
    from core.app import create_app

    app = create_app("web")
    yield app
    let_go(app)


@pytest.fixture(scope="session")
def worker_app(servers: TestServers, app: Flask) -> Iterator[Flask]:
    """A worker's board in this same process."""
    from core.app import create_app

    worker_app = create_app("worker")
    yield worker_app
    let_go(worker_app)


@pytest.fixture
def make_board(servers: TestServers) -> Iterator[Callable[..., Flask]]:
    """Another board in this process, for a test that changes the environment first: ``make_board("web")``."""
    from core.app import create_app

    made: list[Flask] = []

    def make(kind: Kind = "web") -> Flask:
        made.append(create_app(kind))
        return made[-1]

    yield make
    for app in made:
        let_go(app)


@pytest.fixture
def board(app: Flask, servers: TestServers) -> Flask:
    """The web board with every table, the Redis database and the document database emptied."""
    from core.data.redis import clear_caches

    empty_everything(servers)
    with app.app_context():
        clear_caches()
    return app


@pytest.fixture
def client(board: Flask) -> FlaskClient:
    return board.test_client()


@pytest.fixture
def ctx(board: Flask) -> Iterator[Flask]:
    """An app context in the tenant ``default``, for tests that call services."""
    from core.data.tenancy import DEFAULT, acting_in

    with board.app_context(), acting_in(DEFAULT):
        yield board


@pytest.fixture
def superuser(servers: TestServers) -> Iterator[psycopg.Connection[Any]]:
    """An autocommitting connection to this worker's database that no policy binds: to look behind the fences."""
    with psycopg.connect(servers.superuser_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def run_jobs(worker_app: Flask) -> Callable[[], int]:
    """Perform every job that waits in the outbox or the queue, and what those enqueue; answers how many ran."""
    from core.background.queue import drain

    return lambda: drain(worker_app)


@pytest.fixture
def process(board: Flask, servers: TestServers) -> Iterator[Callable[..., Process]]:
    """Start real processes: ``process("web", WEB_CONCURRENCY="2")``; they end with the test."""
    with ExitStack() as stack:

        def start(kind: str, **environ: str) -> Process:
            started = Process(kind, environ)
            stack.callback(started.close)
            started.wait_ready()
            return started

        yield start
