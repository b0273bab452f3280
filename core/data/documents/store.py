"""The process's one Mongo client, and which database a tenant's documents are in.

mongoengine's own connections and ``switch_db`` are not used: they are kept on the class, so that one greenlet
changes the database under every other.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any
from urllib.parse import parse_qs

import pymongo
from bson.dbref import DBRef
from flask import current_app
from pymongo.database import Database

from core.config import settings
from core.contracts import Tenant
from core.data.tenancy import current_tenant

Raw = dict[str, Any]
Client = pymongo.MongoClient[Raw]

KEPT = "pegboard.documents"
PING_SECONDS = 2.0

_lock = threading.Lock()


class FencedDatabase(Database[Raw]):
    """A database that follows a reference only to a document of the current tenant."""

    def dereference(self, dbref: DBRef, session: Any = None, comment: Any = None, **options: Any) -> Raw | None:
        wanted = {"_id": dbref.id, "tenant_id": current_tenant().id}
        return self[dbref.collection].find_one(wanted, session=session, comment=comment)


def client() -> Client:
    """This process's client, made on first use: its threads and sockets would not survive a fork."""
    kept: tuple[int, Client] | None = current_app.extensions.get(KEPT)
    if kept is None or kept[0] != os.getpid():
        with _lock:
            kept = current_app.extensions.get(KEPT)
            if kept is None or kept[0] != os.getpid():
                kept = current_app.extensions[KEPT] = (os.getpid(), _connect())
    return kept[1]


def _connect() -> Client:
    uri = settings().mongodb_uri
    said = {name.lower() for name in parse_qs(uri.partition("?")[2])}
    options = {name: value for name, value in _options().items() if name.lower() not in said}
    made: Client = pymongo.MongoClient(uri, tz_aware=True, uuidRepresentation="standard", connect=False, **options)
    atexit.register(_close, made, os.getpid())
    return made


def _close(made: Client, pid: int) -> None:
    if os.getpid() == pid:
        made.close()


def _options() -> dict[str, Any]:
    """A bounded pool and a time-out on everything, in milliseconds; what the URI says itself comes first."""
    kind = current_app.extensions["pegboard.kind"]
    return {
        "appname": f"pegboard-{kind}",
        "serverSelectionTimeoutMS": 2_000,
        "connectTimeoutMS": 2_000,
        "socketTimeoutMS": 30_000,
        "waitQueueTimeoutMS": 3_000 if kind == "web" else 30_000,
        "maxPoolSize": settings().database_pool,
        "maxIdleTimeMS": 300_000,
    }


def database_for(tenant: Tenant) -> Database[Raw]:
    """Row homes share the URI's database, where the filter keeps them apart; the others have one of their own."""
    return FencedDatabase(client(), database_name(tenant))


def database_name(tenant: Tenant) -> str:
    return f"t_{tenant.id.hex}" if tenant.home != "row" else shared_name()


def shared_name() -> str:
    """The database that ``MONGODB_URI`` names, or ``pegboard``."""
    return client().get_default_database("pegboard").name


def ping() -> None:
    """Ask the server for a sign of life; raises pymongo's ``ConnectionFailure`` within two seconds."""
    with pymongo.timeout(PING_SECONDS):
        client().admin.command("ping")
