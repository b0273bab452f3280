"""Periodic work of accounts."""

from __future__ import annotations

from core.background import duty
from core.data import in_steps
from plugins.auth.services import housekeeping


@duty(every=3600, lock="redis")
@in_steps
def purge() -> None:
    housekeeping.purge()


@duty(every=300, lock="redis")
@in_steps
def finish_erasures() -> None:
    housekeeping.finish_erasures()
