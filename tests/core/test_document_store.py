"""The document store: many tenants at once in one process, and a server that goes away."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pymongo
import pytest
from flask import Flask
from mongoengine import UUIDField
from papers import ELSEWHERE, Paper, in_threads
from pymongo.errors import ConnectionFailure
from relay import Relay

from core.contracts import Tenant
from core.data.documents import TenantDocument, client, collection_of, database_for, ping, store
from core.data.faults import as_refusal
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.ops import db
from core.ops.testbed import TestServers


class Tally(TenantDocument):
    meta = {"collection": "test_tallies"}

    owner = UUIDField()


HOMES = (DEFAULT, PLATFORM, *(Tenant(UUID(int=20 + n), f"t{n}", f"T{n}") for n in range(3)), ELSEWHERE)


def wrong_in(app: Flask, seed: int, operations: int) -> int:
    """How many of some operations in changing tenants met, or left, something of another tenant."""
    chance, wrong = random.Random(seed), 0
    for _ in range(operations):
        tenant = chance.choice(HOMES)
        with app.app_context(), acting_in(tenant):
            made = Tally(owner=tenant.id).save()
            wrong += not chance.choice((_reads, _updates, _is_stored))(made, tenant)
    return wrong


def _reads(made: Tally, tenant: Tenant) -> bool:
    found = list(Tally.objects.order_by("-id").limit(10))
    return made in found and all(tally.owner == tenant.id for tally in found)


def _updates(made: Tally, tenant: Tenant) -> bool:
    return made.update(set__owner=tenant.id) == 1


def _is_stored(made: Tally, tenant: Tenant) -> bool:
    stored = collection_of(Tally).find_one({"_id": made.id})
    at_home = collection_of(Tally).database.name == database_for(tenant).name
    return at_home and stored is not None and stored["tenant_id"] == tenant.id


@pytest.fixture
def tallies(ctx: Flask) -> Iterator[Flask]:
    yield ctx
    client().drop_database(f"t_{ELSEWHERE.id.hex}")


def test_threads_of_different_tenants_do_not_meet(tallies: Flask) -> None:
    wrong: list[int] = []
    in_threads(lambda seed: wrong.append(wrong_in(tallies, seed, 75)), range(8))
    assert wrong == [0] * 8


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent
from core.app import create_app
from test_document_store import wrong_in
app = create_app("cli", parts=())
greenlets = [gevent.spawn(wrong_in, app, seed, 75) for seed in range(8)]
gevent.joinall(greenlets, timeout=60)
print("wrong:", [greenlet.get(block=False) for greenlet in greenlets])
"""


def test_greenlets_of_different_tenants_do_not_meet(tallies: Flask) -> None:
    path = f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
    ran = subprocess.run([sys.executable, "-c", path + GREENLETS], capture_output=True, text=True, timeout=90)
    assert f"wrong: {[0] * 8}" in ran.stdout, ran.stderr


# -- the server -------------------------------------------------------------------------------------------------


@pytest.fixture
def relay(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """The board's documents behind a relay that can be cut."""
    settings = ctx.extensions["pegboard.settings"]
    server = urlsplit(settings.mongodb_uri)
    with Relay(server.netloc) as relay:
        uri = f"mongodb://{relay.address}{server.path}?directConnection=true&serverSelectionTimeoutMS=700"
        monkeypatch.setitem(ctx.extensions, "pegboard.settings", dataclasses.replace(settings, mongodb_uri=uri))
        monkeypatch.setitem(ctx.extensions, store.KEPT, (0, None))
        yield relay
        client().close()


def test_a_server_that_is_away_is_a_503_and_comes_back_by_itself(relay: Relay) -> None:
    paper = Paper(title="before").save()
    ping()
    relay.cut()
    paper.title = "while away"
    for call in (ping, paper.save, Paper.objects.count):
        with pytest.raises(ConnectionFailure) as caught:
            call()
        refusal = as_refusal(caught.value)
        assert refusal is not None and refusal.code.name == "DOCUMENTS_UNAVAILABLE"
        assert refusal.code.status == 503 and refusal.headers["Retry-After"] == "5"
    relay.mend()
    assert paper.save().version == 2
    assert Paper.objects.get(id=paper.id).title == "while away"


def test_the_client_is_made_in_the_process_that_uses_it(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = client()
    assert client() is ours
    assert ours.options.pool_options.max_pool_size == ctx.extensions["pegboard.settings"].database_pool
    assert ours.options.server_selection_timeout == 2
    assert ours.options.codec_options.tz_aware
    monkeypatch.setitem(ctx.extensions, store.KEPT, (1, ours))
    forked = client()
    assert forked is not ours
    forked.close()


def test_nothing_is_imported_before_a_plugin_keeps_documents() -> None:
    code = "import sys, core.data.documents, core.data.faults, core.trust.scopes; print('pymongo' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, cwd=Path.cwd())
    assert ran.stdout == "False\n", ran.stderr


def test_an_upgrade_makes_the_indexes_that_plugins_declare(board: Flask, servers: TestServers) -> None:
    database = pymongo.MongoClient(servers.mongodb_uri).get_default_database()
    with database.client:
        database["shelf_notes"].drop()
        done = board.test_cli_runner().invoke(db.group, ["upgrade"])
        assert done.exit_code == 0, done.output
        keys = [
            tuple(name for name, _ in facts["key"]) for facts in database["shelf_notes"].index_information().values()
        ]
    assert ("tenant_id", "topic") in keys
