"""Schedules: each one's jobs find a worker that knows their task and consumes its queue."""

from __future__ import annotations

from core.background.schedules import tasks
from core.ops.doctor import database, redis
from core.ops.doctor.findings import Findings, Patient, ok, warning

CURE = "start a worker that has its plugin and consumes its queue (WORKER_QUEUES), or disable the schedule"


def examine(patient: Patient) -> Findings:
    with database.connect(patient.settings.database_url) as connection:
        if connection.execute("select to_regclass('core_schedules')").fetchone()[0] is None:
            return  # which the topic `schema` tells
        found = connection.execute("select name, task from core_schedules where enabled order by name").fetchall()
    with redis.connect(patient) as client:
        lost = list(tasks.unserved(client, found))
    for name, why in lost:
        yield warning("served", f"the schedule {name}: {why}", CURE)
    if not lost:
        yield ok("served", f"{len(found)} schedules, each with a worker for its jobs")
