"""``flask doctor``: every planted fault is named, with its cure; a board that is well is told so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from forgery import pem, private_key
from ward import STRONG, Ward, note_duties, undone

from core.background.queue.keys import Keys
from core.data import redis as store
from core.ops.doctor import clock, database, documents, processes, redis, versions
from core.ops.doctor.admission import patient
from core.ops.doctor.findings import Patient
from core.ops.embedded import start

ROOT = Path(__file__).resolve().parents[2]
# The servers of the tests flush nothing to the disk, and no plugin yet sends mail, keeps objects or works on images.
OF_THE_TESTS = {"database.durability", "standins.Mailer", "standins.ObjectStore", "standins.Images"}


def test_a_board_that_is_well(ward: Ward, make_board: Callable[..., Flask]) -> None:
    ward.start(make_board)
    note_duties(ward.app)
    found = ward.look()
    assert {name for name in found if name not in OF_THE_TESTS} == set()
    assert {each.topic for each in ward.all() if each.severity == "ok"} >= {"database", "schema", "redis", "roles"}


# -- faults of the environment ------------------------------------------------------------------------------------

ENVIRONMENT = {
    "a short secret": ("secrets.keys", {"SECRET_KEYS": "too-short-to-be-one"}, "error"),
    "a plain secret": ("secrets.keys", {"SECRET_KEYS": "abababab" * 5}, "error"),
    "a secret from an example": ("secrets.keys", {"SECRET_KEYS": "please-change-me-to-something-1234567890"}, "error"),
    "no secret": ("secrets.keys", {"SECRET_KEYS": ""}, "error"),
    "a repeated secret": ("secrets.repeated", {"SECRET_KEYS": f"{STRONG[0]},{STRONG[0]}"}, "error"),
    "an old secret": ("secrets.rotation", {"SECRET_KEYS": f"{STRONG[0]},{STRONG[3]}"}, "warning"),
    "tokens signed with a shared secret": ("secrets.shared", {"JWT_ACCESS_SECRET": STRONG[0]}, "error"),
    "an old private key": (
        "secrets.jwt_rotation",
        {"JWT_PRIVATE_KEYS": pem(private_key("ES256")) + pem(private_key("EdDSA"))},
        "warning",
    ),
    "a shared secret beside a private key": (
        "secrets.jwt_shared",
        {"JWT_PRIVATE_KEYS": pem(private_key("ES256")), "JWT_ACCESS_SECRET": STRONG[3]},
        "warning",
    ),
    "a weak metrics token": ("secrets.metrics", {"METRICS_TOKEN": "letmein"}, "error"),
    "no metrics token": ("addresses.metrics", {"METRICS_TOKEN": ""}, "warning"),
    "an address without TLS": ("addresses.api", {"API_URL": "http://board.example.com"}, "error"),
    "this machine as address": ("addresses.api", {"API_URL": "https://localhost:8000"}, "error"),
    "an origin without TLS": ("addresses.origins", {"CLIENT_URL": "http://app.example.com"}, "error"),
    "this machine as origin": ("addresses.origins", {"CLIENT_URL": "http://localhost:3000"}, "error"),
    "a router nobody believes": ("addresses.proxies", {"DYNO": "web.1", "TRUSTED_PROXIES": "0"}, "error"),
    "development on a platform": ("addresses.mode", {"DYNO": "web.1", "APP_ENV": "development"}, "error"),
    "no rate limit": ("addresses.limit", {"RATE_LIMIT": "0"}, "warning"),
}


@pytest.mark.parametrize("fault", ENVIRONMENT)
def test_a_fault_of_the_environment_is_named(fault: str, ward: Ward) -> None:
    name, environ, severity = ENVIRONMENT[fault]
    assert name not in ward.look("secrets", "addresses")
    ward.plant(**environ)
    found = ward.look("secrets", "addresses")[name]
    assert (found.severity, bool(found.cure)) == (severity, True)
    assert not any(value in found.found + found.cure for value in (*STRONG, environ.get("METRICS_TOKEN") or "\0"))


def test_more_processes_than_memory(ward: Ward) -> None:
    ward.patch.setattr(processes, "memory_mb", lambda: 512)
    ward.plant(WEB_CONCURRENCY="7")
    assert "processes.memory" not in ward.look("processes")
    ward.plant(WEB_CONCURRENCY="12")
    found = ward.look("processes")["processes.memory"]
    assert (found.severity, "615 MB of 512" in found.found, "at most 7" in found.cure) == ("error", True, True)


@pytest.mark.parametrize(("platform", "severity"), [("", "warning"), ("web.1", "error")])
def test_what_production_left_on_a_disk(ward: Ward, platform: str, severity: str) -> None:
    assert "disk.kept" not in ward.look("disk")
    (ward.folder / "mail").mkdir()
    (ward.folder / "mail" / "one.eml").touch()
    ward.plant(DYNO=platform)
    assert ward.look("disk")["disk.kept"].severity == severity


def test_stand_ins_in_production(ward: Ward, make_board: Callable[..., Flask]) -> None:
    ward.start(make_board)
    found = ward.look("standins")
    assert "reaches nobody" in found["standins.Mailer"].found
    assert "standins.UserDirectory" not in found


def test_libraries_that_are_not_what_was_locked(ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("flask==0.1 \\\n    --hash=sha256:00\nnot-for-this-system==1.0\n")
    monkeypatch.setattr(versions, "LOCK", lock)
    found = ward.look("versions")
    assert "flask 3" in found["versions.lock"].found and "not-for-this" not in found["versions.lock"].found
    monkeypatch.setattr(versions, "COMPILED", ("argon2", "no_such_wheel"))
    monkeypatch.setattr(versions, "_requires_python", lambda: ">=3.99")
    assert {"versions.python", "versions.wheels"} <= ward.look("versions").keys()


# -- faults of the servers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One of our own, whose settings a test may spoil."""
    servers = start(tmp_path_factory.mktemp("valkey"), durable=False, only=("valkey",))
    yield servers.redis_url
    servers.stop()


@pytest.fixture
def config(valkey: str) -> Iterator[Callable[..., None]]:
    from redis import Redis

    with Redis.from_url(valkey) as client:
        before = {name: client.config_get(name)[name] for name in ("maxmemory-policy", "appendonly", "maxclients")}
        yield lambda **values: [client.config_set(name.replace("_", "-"), value) for name, value in values.items()]
        for name, value in before.items():
            client.config_set(name, value)


@pytest.mark.parametrize(
    ("name", "spoilt", "severity"),
    [
        ("redis.eviction", {"maxmemory_policy": "allkeys-lru"}, "error"),
        ("redis.persistence", {"appendonly": "no"}, "warning"),
        ("redis.connections", {"maxclients": 20}, "error"),
    ],
)
def test_a_redis_that_is_set_up_badly(
    ward: Ward, valkey: str, config: Callable[..., None], name: str, spoilt: dict[str, Any], severity: str
) -> None:
    ward.plant(REDIS_URL=valkey)
    assert ward.look("redis") == {}
    config(**spoilt)
    assert ward.look("redis")[name].severity == severity


def test_a_queue_that_nobody_consumes(ward: Ward, make_board: Callable[..., Flask]) -> None:
    ward.start(make_board)
    with ward.app.app_context():
        client = store.client()
        assert "redis.queues" not in ward.look("redis")
        client.sadd("pb:q:names", "default", "reports")
        client.rpush(Keys("reports").lane(""), "x")
        client.zadd(Keys("reports").turns, {"": 0})
        found = ward.look("redis")["redis.queues"]
        assert found.found == "no worker consumes the queue reports, and 1 jobs wait there"
        assert "WORKER_QUEUES" in found.cure
        client.zadd(Keys("reports").procs, {"somebody": 2**42})
        assert "redis.queues" not in ward.look("redis")
        client.zadd(Keys("default").sched, {"x": 0})
        assert "queue default, and 1 jobs" in ward.look("redis")["redis.queues"].found


def test_a_redis_in_the_open(ward: Ward) -> None:
    ward.plant(REDIS_URL="redis://cache.example.com:1/0")
    ward.patch.setattr(redis, "connect", lambda patient: pytest.fail("not asked"))
    found = {each.check: each.severity for each in redis._network(_patient(ward))}
    assert found == {"password": "error", "tls": "error"}
    ward.plant(REDIS_URL="rediss://:word@cache.example.com:1/0", REDIS_TLS_VERIFY="false")
    assert [each.check for each in redis._network(_patient(ward))] == ["tls"]
    ward.plant(REDIS_URL="redis://:word@redis:1/0")
    assert [each.severity for each in redis._network(_patient(ward))] == ["warning"]


def _patient(ward: Ward) -> Patient:
    return patient(ward.app, ward.environ)


@pytest.mark.parametrize(
    ("room", "oldest", "topic"), [(database, 99, "database"), (redis, (99, 0), "redis"), (documents, 99, "documents")]
)
def test_servers_that_are_too_old(ward: Ward, room: Any, oldest: Any, topic: str) -> None:
    """The servers here are new: it is what is asked for that is raised."""
    ward.patch.setattr(room, "OLDEST", oldest)
    assert ward.look(topic)[f"{topic}.version"].severity == "error"


@pytest.mark.parametrize("topic", ["database", "redis", "documents"])
def test_clocks_that_disagree(ward: Ward, topic: str) -> None:
    ward.patch.setattr(clock, "now", lambda: time.time() - 1)
    assert f"{topic}.clock" not in ward.look(topic)
    ward.patch.setattr(clock, "now", lambda: time.time() - 3)
    found = ward.look(topic)[f"{topic}.clock"]
    assert found.severity == "error" and "ahead of this machine's" in found.found


def test_a_superuser(ward: Ward) -> None:
    ward.plant(DATABASE_URL=ward.servers.superuser_url)
    assert ward.look("database")["database.superuser"].severity == "error"
    ward.plant(APP_ENV="development")
    assert ward.look("database")["database.superuser"].severity == "warning"


def test_a_role_that_passes_every_fence(ward: Ward) -> None:
    role = ward.superuser.info.dbname
    with undone(ward.superuser, f"alter role {role} bypassrls", f"alter role {role} nobypassrls"):
        assert ward.look("database")["database.bypassrls"].severity == "error"


def test_the_apps_role_owns_the_tables_of_another(ward: Ward) -> None:
    assert "database.owner" not in ward.look("database")
    ward.plant(MIGRATION_DATABASE_URL=ward.servers.superuser_url)
    assert "MIGRATION_DATABASE_URL" in ward.look("database")["database.owner"].found


def test_more_connections_than_the_server_allows(ward: Ward) -> None:
    ward.plant(DATABASE_POOL="90")
    found = ward.look("database")["database.connections"]
    assert found.severity == "error" and "DATABASE_POOL=64" in found.cure
    role = ward.superuser.info.dbname
    ward.plant(DATABASE_POOL="20")
    with undone(ward.superuser, f"alter role {role} connection limit 35", f"alter role {role} connection limit -1"):
        assert "the role's connection limit" in ward.look("database")["database.connections"].found


def test_a_migration_that_was_not_applied_and_a_fence_that_was_taken_down(
    ward: Ward, make_board: Callable[..., Flask]
) -> None:
    ward.start(make_board)
    (head,) = ward.superuser.execute("select version_num from auth_alembic_version").fetchone() or ("",)
    back = f"insert into auth_alembic_version values ('{head}')"
    with undone(ward.superuser, "delete from auth_alembic_version", back):
        found = ward.look("schema")["schema.migrations"]
        assert (found.severity, found.found) == ("error", f"auth: the database is {int(head)} behind")
    alter = "alter table core_notifications {} force row level security"
    with undone(ward.superuser, alter.format("no"), alter.format("")):
        assert "core_notifications has no fence" in ward.look("schema")["schema.fence"].found
    newer = "update auth_alembic_version set version_num = '{}'"
    with undone(ward.superuser, newer.format("9999"), newer.format(head)):
        assert ward.look("schema")["schema.newer"].severity == "warning"
    give = "alter table {} owner to {}"
    role = ward.superuser.info.dbname
    with (
        undone(ward.superuser, give.format("auth_links", "postgres"), give.format("auth_links", role)),
        undone(ward.superuser, give.format("core_outbox", "postgres"), give.format("core_outbox", role)),
    ):
        assert "tables auth_links, core_outbox: belongs to postgres" in ward.look("schema")["schema.owner"].found


def test_roles_that_nobody_declares(ward: Ward, make_board: Callable[..., Flask]) -> None:
    ward.start(make_board)
    assert ward.look("roles") == {}
    give = """insert into core_role_assignments (id, tenant_id, principal_id, role, created_at, updated_at)
              select gen_random_uuid(), '00000000-0000-7000-8000-000000000001', gen_random_uuid(), role, now(), now()
              from unnest(array['curator', 'curator', 'super_admin', 'editor']) role"""
    with undone(ward.superuser, give, "delete from core_role_assignments"):
        found = [each.found for each in ward.all("roles")]
    assert [line.partition(",")[0] for line in found] == ["2 hold the role 'curator'", "1 hold the role 'super_admin'"]


def test_duties_that_nobody_performs(ward: Ward, make_board: Callable[..., Flask]) -> None:
    ward.start(make_board)
    assert "no duty has run yet" in ward.look("duties")["duties.duties"].found
    note_duties(ward.app, "core.audit_sealer", timedelta(minutes=7))
    note_duties(ward.app, "core.outbox_sweep", error="OSError: full")
    found = ward.look("duties")
    assert "core.audit_sealer should have run 7 minutes ago" in found["duties.duties"].found
    assert "OSError: full" in found["duties.failed"].found


def test_a_duty_of_a_plugin_that_is_gone_is_not_waited_for(ward: Ward, make_board: Callable[..., Flask]) -> None:
    ward.start(make_board)
    note_duties(ward.app)
    note_duties(ward.app, "gone.tidy", timedelta(days=7), error="OSError: full")
    assert ward.look("duties") == {}
