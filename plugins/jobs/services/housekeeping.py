"""Forgetting dead letters and records that are old, and counts of who is gone; never a job that may run yet."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from core.background.queue import delivery, retention, tallies
from core.background.queue.frames import lane_of
from core.background.queue.retention import Forgotten
from core.background.schedules import tasks
from core.contracts import TenantDirectory, service
from core.data import utcnow

log = logging.getLogger(__name__)

LETTERS_KEPT = timedelta(days=90)
RECORDS_KEPT = timedelta(days=30)


def clean_up(now: datetime | None = None) -> dict[str, Forgotten]:
    """Answers what was forgotten of each queue."""
    now = now or utcnow()
    done = {name: retention.forget(name, now - LETTERS_KEPT, now - RECORDS_KEPT) for name in delivery.names()}
    for name, gone in done.items():
        told = {"queue": name, "dead_letters": gone.letters, "records": gone.records}
        log.info("old dead letters and records are forgotten", extra=told)
        forget_gone(name)
    return done


def forget_gone(queue: str) -> None:
    """Forget how many jobs ended of tenants and tasks that are gone: a queue counts for all there ever were."""
    counted = tallies.ever(queue)
    # Asked after that, so that whoever is new, and whose first job has just ended, is among them.
    lanes = {"l:", *(f"l:{lane_of(tenant.id)}" for tenant in service(TenantDirectory).every())}
    retention.forget_counts(queue, [one for one in counted if one not in lanes and not _is_of_task(one)])


def _is_of_task(one: str) -> bool:
    return one.startswith("k:") and tasks.known(one[2:])
