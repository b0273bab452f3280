"""``/livez``, ``/readyz`` and ``/metrics``: tenantless, for those who watch over the board.

``/livez`` says that the process answers, and asks nobody. ``/readyz`` asks every store at once, with short time-outs,
and names what is down: 503 only where nothing could be served, which means the database; without Redis or the document
store the rest keeps serving, and it says ``degraded`` with 200. Rooms and plugins add their own checks.
"""

from __future__ import annotations

import hmac
import importlib
import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from flask import Flask, Response, current_app, request

from core import telemetry
from core.background import duties
from core.background.queue import gauges
from core.config import BoardSettings
from core.errors import FORBIDDEN, TOKEN_INVALID, TOKEN_MISSING, Refused
from core.trust.permissions import public, tenantless
from core.web import checks

log = logging.getLogger(__name__)

DEADLINE = 2.5
"""Seconds that a check may take before it counts as down."""
FRESH = 1.0
"""Seconds that an answer is given again without asking anew."""

Facts = Mapping[str, Any]
Check = Callable[[], Facts | None]


class Probe(msgspec.Struct, omit_defaults=True):
    """How one check fared: ``ms`` is how long it took; ``facts`` are what it tells of itself."""

    state: Literal["up", "down"]
    ms: float
    facts: Facts = {}


class PluginState(msgspec.Struct, omit_defaults=True):
    """``off`` is a plugin that a lenient start left out; the reason is told only to those who may read metrics."""

    state: str
    load_ms: float
    reason: str = ""


class DutyState(msgspec.Struct, omit_defaults=True):
    """A duty's last run anywhere on this board, and when it is due; ``error`` is told only to who may read metrics."""

    started: str
    ended: str
    next: str
    failed: bool = False
    error: str = ""


class Readiness(msgspec.Struct, kw_only=True):
    status: Literal["ready", "degraded", "down"]
    down: list[str]
    checks: dict[str, Probe]
    plugins: dict[str, PluginState]
    duties: dict[str, DutyState]


class Alive(msgspec.Struct):
    status: Literal["alive"] = "alive"


@dataclass
class _Registered:
    call: Check
    vital: bool
    needs: str | None
    running: threading.Thread | None = None


@dataclass
class _Health:
    checks: dict[str, _Registered] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    answer: tuple[float, dict[str, Probe]] = (float("-inf"), {})


def init_app(app: Flask) -> None:
    app.extensions["pegboard.health"] = _Health()
    if app.extensions["pegboard.kind"] == "web":
        # Asked for by the first /readyz anyway: before the fork its pages are shared by all workers.
        importlib.import_module("core.data.documents.store")
    for name, check in checks.STORES.items():
        add_check(app, name, check, vital=name == "database")
    for name, check in checks.IN_DATABASE.items():
        add_check(app, name, check, needs="database")
    app.add_url_rule("/livez", "livez", livez)
    app.add_url_rule("/readyz", "readyz", readyz)
    app.add_url_rule("/metrics", "metrics", metrics)


def add_check(app: Flask, name: str, check: Check, *, vital: bool = False, needs: str | None = None) -> None:
    """Let ``/readyz`` ask ``check`` too: it answers facts that strangers may read, or nothing, or raises.

    It runs in an app context without a tenant, beside the other checks, and is down after ``DEADLINE``. When a
    ``vital`` one is down the whole board is. Where the check that it ``needs`` is down, its own answer is left out.
    """
    app.extensions["pegboard.health"].checks[name] = _Registered(check, vital, needs)


@public
@tenantless
def livez() -> Response:
    return _json(Alive(), 200)


@public
@tenantless
def readyz() -> Response:
    found = probe_all()
    table: dict[str, _Registered] = current_app.extensions["pegboard.health"].checks
    down = [name for name, probe in found.items() if probe.state == "down"]
    status = "down" if any(table[name].vital for name in down) else "degraded" if down else "ready"
    told_all = _may_read_metrics() is None
    answer = Readiness(
        status=status,  # type: ignore[arg-type]
        down=down,
        checks=found,
        plugins=_plugins(told_all),
        duties=_duties(found, told_all),
    )
    return _json(answer, 503 if status == "down" else 200)


@public
@tenantless
def metrics() -> Response:
    refusal = _may_read_metrics()
    if refusal is not None:
        raise refusal
    figures, content_type = telemetry.exposition()
    return Response(figures + gauges.exposition(), headers={"Cache-Control": "no-store"}, content_type=content_type)


def _json(value: Any, status: int) -> Response:
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "5"} if status == 503 else {})
    return Response(msgspec.json.encode(value), status, headers, content_type="application/json")


def _plugins(told_all: bool) -> dict[str, PluginState]:
    registry = current_app.extensions["pegboard.registry"]
    return {
        name: PluginState(entry.state, round(entry.load_ms, 1), entry.reason if told_all else "")
        for name, entry in registry.plugins.items()
    }


def _duties(found: Mapping[str, Probe], told_all: bool) -> dict[str, DutyState]:
    """When each duty last ran; Redis keeps that, so it is not known while Redis is away."""
    if found["redis"].state == "down":
        return {}
    return {
        name: DutyState(
            run["started"], run["ended"], run["next"], bool(run["error"]), run["error"] or "" if told_all else ""
        )
        for name, run in sorted(duties.last_runs().items())
    }


def _may_read_metrics() -> Refused | None:
    """``METRICS_TOKEN`` as bearer; without one, callers on this machine, as long as no proxy speaks for others."""
    settings: BoardSettings = current_app.extensions["pegboard.settings"]
    if settings.metrics_token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not given:
            return Refused(TOKEN_MISSING)
        right = hmac.compare_digest(given.encode(), settings.metrics_token.encode())
        return None if right and scheme.lower() == "bearer" else Refused(TOKEN_INVALID)
    through_proxy = settings.trusted_proxies > 0 or "X-Forwarded-For" in request.headers
    if through_proxy or not request.remote_addr or not ipaddress.ip_address(request.remote_addr).is_loopback:
        return Refused(FORBIDDEN, "set METRICS_TOKEN and send it as a bearer token")
    return None


# -- asking -----------------------------------------------------------------------------------------------------


def probe_all() -> dict[str, Probe]:
    """How every check fares, asked all at once and at most once a second, however many want to know."""
    health: _Health = current_app.extensions["pegboard.health"]
    with health.lock:
        when, found = health.answer
        if time.monotonic() - when >= FRESH:
            found = _ask(health)
            health.answer = (time.monotonic(), found)
        return found


def _ask(health: _Health) -> dict[str, Probe]:
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    began = time.perf_counter()
    found: dict[str, Probe] = {}

    def run(name: str, check: Check) -> None:
        try:
            with app.app_context():
                facts = check() or {}
            found[name] = Probe("up", _since(began), facts)
        except Exception as exc:
            log.warning("%s is down", name, extra={"reason": f"{type(exc).__name__}: {exc}"[:500]})
            found[name] = Probe("down", _since(began))

    for name, registered in health.checks.items():
        # One that hangs is waited for by the next round too, but never asked twice at a time.
        if registered.running is None or not registered.running.is_alive():
            registered.running = threading.Thread(target=run, args=(name, registered.call), daemon=True)
            registered.running.start()
    for registered in health.checks.values():
        if registered.running is not None:
            registered.running.join(max(0.0, DEADLINE - (time.perf_counter() - began)))
    answered = {name: found.get(name) or Probe("down", _since(began)) for name in health.checks}
    lost = {name for name, probe in answered.items() if probe.state == "down"}
    return {name: probe for name, probe in answered.items() if health.checks[name].needs not in lost}


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
