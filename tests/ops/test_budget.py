"""The connection budget: what processes may open, what the servers allow, and what fits."""

from __future__ import annotations

import dataclasses
from typing import Any

import psycopg
import pytest

from core.background.queue.template import POOL
from core.config import BoardSettings
from core.data.models import engine_options
from core.ops import budget
from core.ops.budget import ONE_OF_EACH, Allowed, Formation
from core.ops.testbed import TestServers

SETTINGS = BoardSettings(database_url="-", redis_url="redis://127.0.0.1:9/0", mongodb_uri="-")
THREE = Formation(web=3, worker=2)


def settings(**changed: Any) -> BoardSettings:
    return dataclasses.replace(SETTINGS, **changed)


@pytest.mark.unit
def test_processes_times_pools() -> None:
    planned = budget.for_postgres(settings(web_concurrency=2, database_pool=7), THREE)
    assert planned.total == (3 * 2 + 2 + 1) * 7 + budget.MIGRATION_CONNECTIONS
    assert planned.overlapping == planned.total + 9 * 7
    assert str(planned) == "web 6 × 7 + worker 2 × 7 + scheduler 1 × 7 + release 1 × 3 = 66"


@pytest.mark.unit
def test_redis_counts_the_subscription_and_what_a_worker_has_for_its_queues() -> None:
    planned = budget.for_redis(settings(web_concurrency=2, worker_queues=("default", "mail:2")), ONE_OF_EACH)
    assert planned.total == 2 * 11 + (11 + 2 + 2) + 11
    planned = budget.for_redis(settings(redis_url="redis://127.0.0.1:9/0?max_connections=3"), ONE_OF_EACH)
    assert planned.total == 4 + (4 + 3 + 2) + 4


@pytest.mark.unit
def test_processes_in_which_jobs_compute_count_too() -> None:
    planned = budget.for_postgres(settings(database_pool=7), THREE, children=5)
    assert planned.total == budget.for_postgres(settings(database_pool=7), THREE).total + 2 * 5 * 2
    assert "child 10 × 2" in str(planned)
    assert POOL == budget.CHILD_POSTGRES
    pool = budget.largest_pool(SETTINGS, THREE, 100, children=5)
    assert budget.for_postgres(settings(database_pool=pool), THREE, 5).total <= 100
    assert budget.for_postgres(settings(database_pool=pool + 1), THREE, 5).total > 100
    assert budget.for_redis(SETTINGS, THREE, 5).total == budget.for_redis(SETTINGS, THREE).total + 2 * 5 * 2


@pytest.mark.unit
@pytest.mark.parametrize(
    ("connections", "state"), [(200, "ok"), (60, "tight"), (40, "tight"), (33, "tight"), (32, "over"), (3, "over")]
)
def test_verdicts(connections: int, state: str) -> None:
    """33 are planned; 63 while a release overlaps."""
    found, told = budget.verdict(budget.for_postgres(SETTINGS, ONE_OF_EACH), Allowed(connections, "the plan"))
    assert (found, f"= 33, of {connections} (the plan)" in told) == (state, True)


@pytest.mark.unit
def test_the_pool_that_fits() -> None:
    for allowed in (20, 33, 100):
        pool = budget.largest_pool(SETTINGS, THREE, allowed)
        assert budget.for_postgres(settings(database_pool=pool), THREE).total <= allowed
        assert budget.for_postgres(settings(database_pool=pool + 1), THREE).total > allowed
    assert budget.largest_pool(SETTINGS, Formation(web=50), 20) == 0


@pytest.mark.unit
def test_formations() -> None:
    assert Formation.parse("web=2, worker=0") == (2, 0, None)
    for wrong in ("web", "web=two", "cron=1", "web=-1"):
        with pytest.raises(ValueError, match="expected web, worker, scheduler"):
            Formation.parse(wrong)


@pytest.mark.unit
def test_what_runs_inside_web_counts_with_each_web_process() -> None:
    inside = settings(run_inside_web=("worker",), web_concurrency=2)
    assert [Formation(web=3).processes(kind, inside) for kind in Formation._fields] == [6, 3, 1]
    assert Formation(web=3, worker=2).processes("worker", inside) == 5


@pytest.mark.unit
def test_no_process_opens_more_than_its_pool() -> None:
    """The budget counts pools: they must not overflow."""
    for kind in ("web", "worker", "scheduler"):
        assert engine_options(SETTINGS, kind)["pool_size"] == SETTINGS.database_pool
        assert engine_options(SETTINGS, kind)["max_overflow"] == 0


def test_the_tightest_rule_of_the_server_counts(servers: TestServers, superuser: psycopg.Connection[Any]) -> None:
    name = superuser.info.dbname

    def asked() -> Allowed:
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            return budget.allowed_by_postgres(connection)

    assert asked() == (197, "max_connections 200, 3 of them reserved")
    try:
        superuser.execute(f"alter database {name} connection limit 50")  # type: ignore[arg-type]
        assert asked() == (50, "the database's connection limit")
        superuser.execute(f"alter role {name} connection limit 20")  # type: ignore[arg-type]
        assert asked() == (20, "the role's connection limit")
    finally:
        superuser.execute(f"alter database {name} connection limit -1")  # type: ignore[arg-type]
        superuser.execute(f"alter role {name} connection limit -1")  # type: ignore[arg-type]
    assert budget.allowed_by_postgres(superuser).connections == 197
