"""All topics at once, each with a few seconds and no power to hold up the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import msgspec

from core.errors import BootError
from core.ops.doctor import (
    addresses,
    database,
    disk,
    documents,
    processes,
    redis,
    schedules,
    schema,
    secrets,
    start,
    versions,
)
from core.ops.doctor.findings import Away, Finding, Findings, Patient, error, warning
from core.telemetry import scrub

SECONDS = 6.0
"""That a topic may take; whoever asks a server waits for it for at most half of that."""

Examine = Callable[[Patient], Findings]

# In the order in which they are told. A topic that comes with another room is one line here.
TOPICS: Mapping[str, Examine] = {
    "start": start.examine,
    "secrets": secrets.examine,
    "addresses": addresses.examine,
    "database": database.examine,
    "schema": schema.examine,
    "roles": schema.roles,
    "redis": redis.examine,
    "documents": documents.examine,
    "processes": processes.examine,
    "duties": processes.alive,
    "schedules": schedules.examine,
    "disk": disk.examine,
    "standins": disk.standins,
    "versions": versions.examine,
}


def examine(patient: Patient, topics: Mapping[str, Examine] = TOPICS) -> list[Finding]:
    """What every topic found, in their order. No word of it holds a secret."""
    began = time.monotonic()
    told: dict[str, list[Finding]] = {}

    def run(name: str, look: Examine) -> None:
        told[name] = _look(look, patient)

    # Daemons: a server that never answers must not keep the command from ending.
    threads = {
        name: threading.Thread(target=run, args=(name, look), name=f"doctor-{name}", daemon=True)
        for name, look in topics.items()
    }
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, SECONDS - (time.monotonic() - began)))
    return [
        msgspec.structs.replace(each, topic=name, found=scrub(each.found), cure=scrub(each.cure))
        for name in topics
        for each in told.get(name) or ([_late()] if name not in told else [])
    ]


def _look(look: Examine, patient: Patient) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(look(patient))
    except (Away, BootError) as exc:  # the latter where the database's role is refused, which has a topic of its own
        found.append(warning("examined", f"not examined: {exc}", "mend that first"))
    except Exception as exc:  # the other topics go on
        what = f"not examined: {type(exc).__name__}: {' '.join(str(exc).split())[:300]}"
        found.append(error("examined", what, "if nothing else here explains it, report it"))
    return found


def _late() -> Finding:
    return error("examined", f"no answer within {SECONDS:.0f} s", "see what it waits for, and ask again")
