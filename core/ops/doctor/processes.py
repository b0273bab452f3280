"""Processes: whether they fit into the memory that there is, and whether those that should run do."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.background import duties
from core.ops.doctor.findings import Away, Findings, Patient, error, ok, warning
from core.ops.doctor.redis import connect

FIRST_MB, FURTHER_MB, INSIDE_MB = 120, 45, 65
"""What a web process with one worker may take, each further one, and each kind that RUN_INSIDE_WEB puts there."""
TIGHT = 0.8
OVERDUE = timedelta(minutes=2)
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def examine(patient: Patient) -> Findings:
    workers = patient.settings.web_concurrency
    base = FIRST_MB + INSIDE_MB * len(set(patient.settings.run_inside_web))
    needed = base + FURTHER_MB * (workers - 1)
    there = memory_mb()
    told = f"WEB_CONCURRENCY {workers}: about {needed} MB of {there}"
    fits = max(1, int((TIGHT * there - base) // FURTHER_MB) + 1)
    if needed > there:
        yield error("memory", told, f"set WEB_CONCURRENCY to at most {fits}, or take a larger machine")
    elif needed > TIGHT * there:
        yield warning("memory", f"{told}: uploads and jobs have no room", f"set WEB_CONCURRENCY to at most {fits}")
    else:
        yield ok("memory", told)
    if workers > 4 * (os.cpu_count() or 1):
        found = f"WEB_CONCURRENCY is {workers} on {os.cpu_count()} processors"
        yield warning("processors", found, "one or two for each are enough: a worker serves many requests at once")


def memory_mb() -> int:
    """What this machine or container may use, whichever is less."""
    least = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            least = min(least, int(text))
    return least // 2**20


def alive(patient: Patient) -> Findings:
    """Each duty notes its last run: one that is overdue has no process left that would run it."""
    if patient.app is None:
        raise Away("the board does not start")
    with connect(patient) as client:
        client.ping()
    with patient.app.app_context():
        declared = patient.app.extensions["pegboard.duties"]
        # A plugin that is gone leaves its notes: nobody is to run those.
        runs = {name: run for name, run in duties.last_runs().items() if name in declared}
    now = datetime.now(UTC)
    late = {
        name: now - due
        for name, run in sorted(runs.items())
        if now - (due := datetime.fromisoformat(run["next"])) > OVERDUE
    }
    for name, by in late.items():
        found = f"{name} should have run {int(by.total_seconds() // 60)} minutes ago"
        yield warning(
            "duties", found, "see that a scheduler runs (python -m core.scheduler), or stands in RUN_INSIDE_WEB"
        )
    for name, run in sorted(runs.items()):
        if run["error"] and name not in late:
            yield warning("failed", f"{name} failed when it last ran: {run['error']}", "its log lines say more")
    if not runs:
        found = "no duty has run yet: nothing sweeps the outbox or seals the audit log"
        yield warning("duties", found, "start a scheduler and a worker")
    elif not late:
        yield ok("duties", f"{len(runs)} duties keep their times")
