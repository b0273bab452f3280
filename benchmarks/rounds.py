"""What the benchmarks beside the peer share: the settings of both, rounds in alternation, and how figures are told."""

from __future__ import annotations

import json
import os
import statistics
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.common import record
from benchmarks.contenders import Contender

ROUNDS = 3

ENVIRON = {
    "RATE_LIMIT": "0",
    "TRUSTED_PROXIES": "1",
    "LOG_LEVEL": "WARNING",
    "API_URL": "http://127.0.0.1",
    "JWT_ACCESS_SECRET": os.urandom(24).hex(),
    "DATABASE_POOL": "10",
}

Figures = dict[str, float]


def post(server: Contender, path: str, body: Any, token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return dict(json.load(reply))


def sign_up(server: Contender) -> dict[str, Any]:
    """A new account, signed in; both contenders hold the key that signed its token."""
    body = {"email": "alice@example.com", "password": "correct horse battery", "display_name": "Alice"}
    return post(server, "/api/auth/register", body)


def alternating(names: Sequence[str], measured: Callable[[str], Figures]) -> dict[str, Figures]:
    """Median figures by name, the rounds in alternation."""
    rounds: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            rounds[name].append(measured(name))
    return {
        name: {key: statistics.median(one[key] for one in taken) for key in taken[0]} for name, taken in rounds.items()
    }


def tell(
    what: str, benchmark: str, processes: int, found: dict[str, Figures], keep: bool, versions: dict[str, str]
) -> None:
    """Print the figures of each, and ours beside the peer's where it ran; with ``keep`` also in RESULTS.md."""
    many = f"{what}, {processes} process{'es' * (processes > 1)}"
    told = [
        f"{name} {figures['rate']:.0f}/s, p50 {figures['p50']:.0f} ms, p99 {figures['p99']:.0f},"
        f" CPU {figures['cpu_ms']:.2f} ms, SQL {figures['sql']:.1f}, {figures['mib']:.0f} MiB"
        for name, figures in found.items()
    ]
    for line in told:
        print(f"{many:<24} {line}", flush=True)
    ratio = beside(found["board"], found["Express"]) if "Express" in found else ""
    print(f"{'':<24} {ratio}", flush=True)
    if keep:
        record(f"{benchmark}, {what}, {processes} proc.", "; ".join(told), ratio, versions)


def beside(ours: Figures, theirs: Figures) -> str:
    return f"{ours['rate'] / theirs['rate']:.2f} × Express, {ours['cpu_ms'] / theirs['cpu_ms']:.2f} × its CPU"
