"""What the benchmarks share: a board on servers of its own, the cost of processes, and rows in RESULTS.md."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from core.ops.embedded import Servers, start
from core.ops.testbed import TestServers, prepare

ROOT = Path(__file__).resolve().parent.parent

TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def testbed(**environ: str) -> Iterator[tuple[Servers, TestServers]]:
    """Real servers and a migrated board's environment, in this process's own ``os.environ`` too; gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        servers = start(Path(folder) / "servers", durable=False)
        try:
            facts = {name: getattr(servers, name) for name in ("superuser_url", "redis_url", "mongodb_uri")}
            bed = prepare(facts, 0)
            os.environ.update(bed.environ("K" * 8 + os.urandom(24).hex(), folder) | environ)
            bed.migrate()
            yield servers, bed
        finally:
            servers.stop()


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    pids = [pid]
    for parent in pids:
        children = Path(f"/proc/{parent}/task/{parent}/children")
        pids += [int(child) for child in children.read_text().split()]
    return pids


def pss(pid: int) -> float:
    """Proportional set size of a process and its descendants, MiB."""
    total = 0
    for member in family(pid):
        rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def cpu(pid: int) -> float:
    """Seconds of processor time, user and system, that a process and its descendants have used."""
    total = 0
    for member in family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


@contextlib.contextmanager
def counting_statements(superuser_url: str, log: Path) -> Iterator[Callable[[], int]]:
    """PostgreSQL logs all statements meanwhile; the call says how many that log has gained."""
    before = log.stat().st_size

    def count() -> int:
        time.sleep(0.2)
        with log.open("rb") as lines:
            lines.seek(before)
            return len(re.findall(rb"LOG:  (?:statement|execute [^:]*): ", lines.read()))

    with psycopg.connect(superuser_url, autocommit=True) as admin:
        for setting in ("set log_statement = 'all'", "reset log_statement"):
            admin.execute(f"alter system {setting}")
            admin.execute("select pg_reload_conf()")
            time.sleep(0.3)
            if setting.startswith("set"):
                before = log.stat().st_size
                yield count


def machine() -> str:
    """What was measured on. The load of the last five minutes tells whether other work was going on beside it."""
    load = os.getloadavg()[1]
    return f"{os.cpu_count()} cores (load {load:.0f}), {platform.machine()}, Python {platform.python_version()}"


def record(benchmark: str, figures: str, ratio: str, extra: Mapping[str, str] | None = None) -> None:
    """Add a row to benchmarks/RESULTS.md."""
    where = ", ".join([machine(), *(f"{name} {version}" for name, version in (extra or {}).items())])
    with (ROOT / "benchmarks" / "RESULTS.md").open("a") as results:
        results.write(f"| {datetime.now(UTC).date()} | {benchmark} | {where} | {figures} | {ratio} |\n")
