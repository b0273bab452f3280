"""Forgetting dead letters and records that are old; never a job that may run yet."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from core.background.queue import delivery, retention
from core.background.queue.retention import Forgotten
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
    return done
