"""Waiting after failed log-ins: longer each time, never for good, and never for whom the account knows.

What happened to an address in the last day says how long to wait, whether or not anybody has it:

- after five failures in a row from one network, 30 s, then twice as long each time, up to 15 minutes;
- after twenty from anywhere, 30 s up to 5 minutes, and at most twenty attempts a minute, except for networks from
  which the account has been signed in to: a stranger elsewhere who fails on purpose keeps its owner out of nothing.

An attempt that has to wait is refused before the password is looked at, and is not counted: waiting ends by itself.
A password that was reset by mail begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from core.data import utcnow
from core.data.prepared import Prepared
from core.errors import Refused
from core.trust.limits import Rate, take
from plugins.auth.api import TOO_MANY_ATTEMPTS
from plugins.auth.callers import Caller, network_of
from plugins.auth.models import Event
from plugins.auth.services import events

FAILURES_COUNT = timedelta(hours=24)
KNOWN_FOR = timedelta(days=30)
SEEN = 40
"""How many failures, and how many successes, count: enough for both ladders to reach their top."""


class Ladder(NamedTuple):
    """``free`` failures cost nothing; the next costs ``first`` seconds, each further one twice that, up to ``most``."""

    free: int
    first: float
    most: float

    def wait(self, failures: int) -> float:
        return 0.0 if failures < self.free else min(self.first * 2.0 ** min(failures - self.free, 30), self.most)


CAME_IN = (events.LOGGED_IN, events.REGISTERED)
STRANGERS = Rate(20, 60, "strangers")
"""Attempts upon one account, from all networks together that it does not know."""
NETWORK = Ladder(5, 30, 900)
ANYWHERE = Ladder(20, 30, 300)


class Seen(NamedTuple):
    kind: str
    network: str
    at: datetime


_ANY = (
    sa.select(Event.kind, Event.ip, Event.created_at)
    .where(Event.account == sa.bindparam("account"), Event.created_at > sa.bindparam("since"))
    .order_by(Event.id.desc())
    .limit(SEEN)
)
# Every log-in asks both.
_FAILED = Prepared(_ANY.where(Event.kind == events.LOG_IN_FAILED), Event)
_CAME_IN = Prepared(_ANY.where(Event.kind.in_((*CAME_IN, events.PASSWORD_RESET))), Event)


def check(account: str, caller: Caller) -> None:
    """``Refused(TOO_MANY_ATTEMPTS)`` with ``Retry-After``, or nothing. Two statements, in the current unit."""
    # Apart, so that no flood of failures washes away from where the account was last signed in to.
    latest = _latest(_FAILED, account, FAILURES_COUNT)
    latest += _latest(_CAME_IN, account, KNOWN_FOR)
    latest.sort(key=lambda seen: seen.at, reverse=True)
    network = network_of(caller.ip)
    wait = seconds_left(latest, network, utcnow())
    if wait <= 0 and not _known(latest, network):
        # Many at once would all be let through before the first of them is noted. No header tells of this limit: it
        # would show what others do with the account.
        wait = take(f"auth.attempts:{account}", STRANGERS).retry_after
    if wait > 0:
        raise Refused(TOO_MANY_ATTEMPTS, retry_after=math.ceil(wait))


def _latest(of: Prepared, account: str, span: timedelta) -> list[Seen]:
    rows = of(account=account, since=utcnow() - span)
    return [Seen(row.kind, network_of(row.ip), row.created_at) for row in rows]


def seconds_left(latest: Sequence[Seen], network: str, now: datetime) -> float:
    """How long a caller from ``network`` still has to wait; ``latest`` is what happened, newest first."""
    here = _failures([seen for seen in latest if seen.network == network or seen.kind == events.PASSWORD_RESET])
    anywhere = [] if _known(latest, network) else _failures(latest)
    return max(_left(NETWORK, here, now), _left(ANYWHERE, anywhere, now))


def _known(latest: Sequence[Seen], network: str) -> bool:
    return any(seen.kind in CAME_IN and seen.network == network for seen in latest)


def _failures(latest: Sequence[Seen]) -> list[Seen]:
    """Those since the last success, newest first."""
    failures = []
    for seen in latest:
        if seen.kind != events.LOG_IN_FAILED:
            break
        failures.append(seen)
    return failures


def _left(ladder: Ladder, failures: Sequence[Seen], now: datetime) -> float:
    if not failures:
        return 0.0
    return ladder.wait(len(failures)) - (now - failures[0].at).total_seconds()
