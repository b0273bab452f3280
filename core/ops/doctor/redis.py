"""Redis or Valkey: there, new enough, closed to strangers, and set so that it throws no job away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from core.background.queue import consumers
from core.background.queue.keys import DEFAULT
from core.ops import budget
from core.ops.doctor import clock
from core.ops.doctor.findings import (
    Away,
    Finding,
    Findings,
    Patient,
    error,
    host_of,
    is_local,
    is_near,
    ok,
    unsafe,
    warning,
)
from core.ops.doctor.secrets import password_of

OLDEST = (6, 2)
SECONDS = 2.0
NEARLY_FULL = 0.9


@contextmanager
def connect(patient: Patient) -> Iterator[Any]:
    """A client of the doctor's own with one connection. Raises ``Away``."""
    from redis.exceptions import RedisError

    from core.data.redis.connections import open_client

    try:
        client = open_client(patient.settings.redis_url, patient.settings.redis_tls_verify, socket_timeout=SECONDS)
    except (KeyError, ValueError):
        raise Away("REDIS_URL cannot be used: expected redis://host:6379/0, rediss://… or unix:///path") from None
    try:
        yield client
    except (RedisError, OSError) as exc:
        raise Away(f"Redis does not answer: {exc}") from exc
    finally:
        client.close()


def examine(patient: Patient) -> Findings:
    yield from _network(patient)
    try:
        with connect(patient) as client:
            yield from _ask(patient, client)
    except Away as exc:
        yield error("answers", str(exc), "see that Redis runs, and that REDIS_URL's host, port and password are right")


def _network(patient: Patient) -> Findings:
    url = patient.settings.redis_url
    host = host_of(url)
    if is_local(host) or url.startswith("unix:"):
        return
    if not password_of(url):
        yield unsafe(patient, "password", f"REDIS_URL names no password for {host}", "set one there, and in REDIS_URL")
    if not url.startswith("rediss://"):
        found = f"REDIS_URL reaches {host} without TLS: jobs, and the password, travel in the clear"
        severity = warning if is_near(host) else error
        yield severity("tls", found, "use rediss://")
    elif not patient.settings.redis_tls_verify:
        found = "REDIS_TLS_VERIFY is false: whoever answers is believed"
        yield warning("tls", found, "unset it, unless your platform's certificates are signed by nobody")


def _ask(patient: Patient, client: Any) -> Findings:
    facts: Mapping[str, Any] = client.info()
    yield _version(facts)
    yield from _eviction(facts)
    yield from _persistence(facts)
    yield from _room(facts)
    yield _connections(patient, client, facts)
    yield clock.compare("Redis's", lambda: _time(client))
    yield from _queues(client)


def _queues(client: Any) -> Findings:
    """Queues that tasks name, or that have something in them, and that no worker consumes.

    Of ``default``, which no task has to name, this is told where jobs wait there.
    """
    for name in sorted(consumers.named(client)):
        found = consumers.of(client, name)
        if not found.workers and (found.waiting or name != DEFAULT):
            told = f"no worker consumes the queue {name}, and {found.waiting} jobs wait there"
            yield warning("queues", told, f"name it in a worker's WORKER_QUEUES, or leave that unset: {name}:5")


def _version(facts: Mapping[str, Any]) -> Finding:
    # Valkey tells both: its own, and that of the Redis which it stands for.
    version = str(facts.get("redis_version", "0"))
    name = f"Valkey {facts['valkey_version']}" if "valkey_version" in facts else f"Redis {version}"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST:
        return error("version", name, f"upgrade to Redis {'.'.join(map(str, OLDEST))} or newer, or to Valkey")
    return ok("version", name)


def _eviction(facts: Mapping[str, Any]) -> Findings:
    policy = facts.get("maxmemory_policy")
    if policy is None:
        return
    if policy != "noeviction":
        found = f"maxmemory-policy is {policy}: when memory runs out, jobs and leases are thrown away in silence"
        yield error("eviction", found, "set maxmemory-policy noeviction (on a platform: in the add-on's settings)")
    else:
        yield ok("eviction", "noeviction")


def _persistence(facts: Mapping[str, Any]) -> Findings:
    if facts.get("loading"):
        yield warning("loading", "it is reading its data back", "wait until it has, and ask again")
    if not facts.get("aof_enabled"):
        found = "the append-only file is off: waiting jobs since its last snapshot end with the server"
        yield warning("persistence", found, "set appendonly yes, or take a plan that keeps its data")
    elif facts.get("aof_last_write_status", "ok") != "ok":
        yield error("persistence", "the append-only file could not be written", "see that its disk has room")
    else:
        yield ok("persistence", "append-only file")
    if facts.get("role") not in (None, "master"):
        yield error("role", f"REDIS_URL names a {facts['role']}, which takes no writes", "name the primary")


def _room(facts: Mapping[str, Any]) -> Findings:
    used, most = int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0))
    if most and used > NEARLY_FULL * most:
        found = f"{used / most:.0%} of its {most // 2**20} MB are in use: when it is full, nothing can be enqueued"
        yield warning("memory", found, "take a larger plan, or see what lies there")


def _connections(patient: Patient, client: Any, facts: Mapping[str, Any]) -> Finding:
    planned = budget.for_redis(patient.settings, patient.formation, patient.children)
    most = int(facts.get("maxclients") or _configured(client, "maxclients"))
    if not most:
        return ok("connections", f"{planned}; this server does not say how many it allows")
    state, told = budget.verdict(planned, budget.Allowed(most, "maxclients"))
    if state == "ok":
        return ok("connections", told)
    cure = "lower ?max_connections=… in REDIS_URL (10 unless it says so), or take a larger plan"
    return error("connections", told, cure) if state == "over" else warning("connections", told, cure)


def _configured(client: Any, name: str) -> int:
    """What CONFIG says, where it may be asked: most platforms forbid it."""
    from redis.exceptions import ResponseError

    try:
        return int(client.config_get(name).get(name, 0))
    except ResponseError:
        return 0


def _time(client: Any) -> float:
    seconds, microseconds = client.time()
    return int(seconds) + int(microseconds) / 1e6
