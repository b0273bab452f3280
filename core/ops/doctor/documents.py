"""The document store: MongoDB or what speaks like it. A board on which no plugin keeps documents does without."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from core.ops.doctor import clock
from core.ops.doctor.findings import Findings, Patient, error, host_of, is_local, ok, unsafe, warning

OLDEST = 5
MILLISECONDS = 2000


def examine(patient: Patient) -> Findings:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    uri = patient.settings.mongodb_uri
    patience = {"serverSelectionTimeoutMS": MILLISECONDS, "connectTimeoutMS": MILLISECONDS, "socketTimeoutMS": 3000}
    try:
        client: MongoClient[Any] = MongoClient(uri, appname="pegboard-doctor", tz_aware=True, **patience)  # type: ignore[arg-type]
        with client:
            version = str(client.server_info()["version"])
            skew = clock.compare("the document store's", lambda: client.admin.command("hello")["localTime"])
    except (PyMongoError, ValueError) as exc:
        found = f"the document store does not answer: {str(exc).partition(', Timeout')[0]}"
        severity = error if _keeps_documents(patient) else warning
        yield severity("answers", found, "see that it runs, and that MONGODB_URI's host and password are right")
        return
    if int(version.partition(".")[0]) < OLDEST:
        yield error("version", f"MongoDB {version}", f"upgrade to MongoDB {OLDEST} or newer")
    else:
        yield ok("version", f"MongoDB {version}")
    yield skew
    host = host_of(uri.partition(",")[0])
    if not is_local(host) and not urlsplit(uri).username and "authMechanism" not in uri:
        yield unsafe(patient, "password", f"MONGODB_URI names no user for {host}", "make one, and name it there")


def _keeps_documents(patient: Patient) -> bool:
    """Whether a plugin does, as far as is known: of a board that does not start, it may be."""
    if patient.app is None:
        return True
    return any("documents" in entry.parts for entry in patient.app.extensions["pegboard.registry"].on)
