"""Rate limits on routes: ``RATE_LIMIT`` for each caller across the board, ``@limited`` where a route needs more.

Each reply says how things stand (``RateLimit-Policy``, ``RateLimit``; see ``core.trust.limits``). Over a limit:
RATE_LIMITED (429) with ``Retry-After``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeVar

from flask import Flask, current_app

from core.config import BoardSettings
from core.contracts import Principal
from core.errors import RATE_LIMITED, BootError, Refused
from core.trust.limits import Rate, Verdict, take
from core.trust.permissions import marks_of
from core.web.edge import client_ip

F = TypeVar("F", bound=Callable[..., Any])

By = Literal["ip", "account"] | Callable[..., str]


class Limit(NamedTuple):
    """One ``@limited``: how often, and by what it is counted."""

    rate: Rate
    by: By


def limited(rate: str, by: By = "account") -> Callable[[F], F]:
    """Limit a route, beside the board's own limit; may be said more than once.

    ``by`` is "ip", "account" (who is signed in, else the address), or a function that gets the view's arguments by
    name and answers what to count by: ``@limited("5/minute", by=lambda body: body.email)``.
    """
    try:
        limit = Limit(Rate.parse(rate), by)
    except ValueError as exc:
        raise BootError(f"@limited({rate!r}): {exc}") from None
    if by not in ("ip", "account") and not callable(by):
        raise BootError(f"@limited({rate!r}, by={by!r}): counts by nothing known; use 'ip', 'account' or a function")

    def mark(function: F) -> F:
        marks_of(function).notes.setdefault("limits", []).append(limit)
        return function

    return mark


def init_app(app: Flask) -> None:
    """Read ``RATE_LIMIT`` once."""
    settings: BoardSettings = app.extensions["pegboard.settings"]
    try:
        app.extensions["pegboard.rate"] = Rate.parse(settings.rate_limit, "board")
    except ValueError as exc:
        raise BootError(f"RATE_LIMIT {settings.rate_limit!r} is not acceptable: {exc}") from None


class Throttle:
    """The limits of one route, called ``route``, ``route-2`` … in the reply's headers."""

    def __init__(self, name: str, limits: Iterable[Limit]) -> None:
        self._name = name
        named = [
            Limit(replace(rate, name="route" if number == 1 else f"route-{number}"), by)
            for number, (rate, by) in enumerate(limits, 1)
        ]
        self._early = [limit for limit in named if not callable(limit.by)]
        self._late = [limit for limit in named if callable(limit.by)]

    def before(self, who: Principal, verdicts: list[Verdict]) -> None:
        """Count a request whose caller is known. What came of it is added to ``verdicts``. Raises ``Refused`` (429)."""
        board: Rate = current_app.extensions["pegboard.rate"]
        if not board.off:
            _count(_account(who), board, verdicts, everywhere=True)
        for rate, by in self._early:
            key = f"{self._name}:{_address() if by == 'ip' else _account(who)}"
            _count(key, rate, verdicts, everywhere=True)

    def after(self, arguments: dict[str, Any], verdicts: list[Verdict]) -> None:
        """Count a request whose arguments are known."""
        for rate, by in self._late:
            assert callable(by)
            _count(f"{self._name}:{by(**arguments)}", rate, verdicts)


def _count(key: str, rate: Rate, verdicts: list[Verdict], *, everywhere: bool = False) -> None:
    """``everywhere`` counts across tenants: an address or an account does not have its limit once in each."""
    verdict = take(key, rate, everywhere=everywhere)
    verdicts.append(verdict)
    if not verdict.allowed:
        raise Refused(RATE_LIMITED)


def _account(who: Principal) -> str:
    return f"{who.kind}:{who.id}" if who.id else _address()


def _address() -> str:
    """The caller's address; of IPv6 the /64, for that much one household commands."""
    text = client_ip()
    if ":" not in text:
        return text
    return str(ipaddress.ip_network((text, 64), strict=False).network_address)
