"""Clocks: tokens, leases and schedules compare times of several machines, and bear two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from core.ops.doctor.findings import Finding, error, ok

MOST = 2.0


def now() -> float:
    """This machine's clock, in seconds since 1970."""
    return time.time()


def compare(whose: str, ask: Callable[[], datetime | float]) -> Finding:
    """Ask another clock, and give it the benefit of half the time that asking took."""
    began = now()
    theirs = ask()
    ended = now()
    if isinstance(theirs, datetime):
        theirs = (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)).timestamp()
    ahead = theirs - (began + ended) / 2
    if abs(ahead) - (ended - began) / 2 > MOST:
        way = "ahead of" if ahead > 0 else "behind"
        found = f"{whose} clock is {abs(ahead):.1f} s {way} this machine's"
        return error("clock", found, "let both follow NTP: tokens, leases and due jobs would come too soon or too late")
    return ok("clock", f"{whose} clock and ours agree to {max(abs(ahead), 0.01):.2f} s")
