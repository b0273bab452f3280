"""Metrics, in the text format of Prometheus, summed over the processes of one machine.

All of them stand in one table; labels have few values: a route's template, never a path. prometheus-client is
imported with the first figure. With ``PROMETHEUS_MULTIPROC_DIR`` each process keeps its figures in mapped files there
and whoever is asked adds them up; ``prepare_multiprocess`` and ``child_exit`` are for ``gunicorn.conf.py``.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

log = logging.getLogger(__name__)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

MOST_SERIES = 2_000  # of one metric, in one process; what comes later is counted under "other"

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class Metric(NamedTuple):
    kind: Literal["counter", "histogram"]
    help: str
    labels: tuple[str, ...]


METRICS: dict[str, Metric] = {
    "http_requests_total": Metric("counter", "Requests answered", ("method", "route", "status")),
    "http_request_seconds": Metric("histogram", "Time from request to reply", ("route",)),
    "jobs_total": Metric("counter", "Jobs run", ("task", "outcome")),
    "job_seconds": Metric("histogram", "Time that jobs ran", ("task",)),
    "stalled_total": Metric("counter", "Jobs whose worker died or fell silent while they ran", ("queue",)),
    "outbox_rows_total": Metric("counter", "Outbox rows handed over: path is fast or sweep", ("path",)),
    "events_total": Metric("counter", "Events given to listeners", ("event", "outcome")),
    "units_repeated_total": Metric("counter", "Units of work run again after a transient fault", ("why",)),
    "duties_total": Metric("counter", "Runs of periodic duties", ("duty", "outcome")),
    "duty_seconds": Metric("histogram", "Time that duties ran", ("duty",)),
    "limited_total": Metric("counter", "Requests refused by a rate limit", ("policy",)),
}


def metric(name: str, kind: Literal["counter", "histogram"], help: str, *labels: str) -> None:
    """Add a plugin's own to the table, named ``<plugin>_…``; counters end in ``_total``, histograms in ``_seconds``."""
    if not name.endswith("_total" if kind == "counter" else "_seconds"):
        raise ValueError(f"a {kind} is not called {name}: counters end in _total, histograms in _seconds")
    if METRICS.setdefault(name, Metric(kind, help, labels)) != Metric(kind, help, labels):
        raise ValueError(f"metric {name} is already declared with another meaning; choose another name")


def count(name: str, /, **labels: str) -> None:
    """Add one. A name or label that the table does not have is a ``KeyError``; a full disk is nobody's error."""
    _write(name, labels, None)


def observe(name: str, seconds: float, /, **labels: str) -> None:
    """Add a duration to a histogram."""
    _write(name, labels, seconds)


# -- writing ----------------------------------------------------------------------------------------------------

_series: dict[tuple[str, ...], Any] = {}  # a metric's name and its labels' values → what has inc() or observe()
_sizes: dict[str, int] = {}
_lock = threading.Lock()
_families: dict[str, Any] = {}
_registry: Any = None
_failed = False


def _write(name: str, labels: dict[str, str], seconds: float | None) -> None:
    declared = METRICS[name]
    if len(labels) != len(declared.labels):
        raise KeyError(f"{name} has the labels {declared.labels}, not {tuple(labels)}")
    place = (name, *[labels[label] for label in declared.labels])
    try:
        series = _series.get(place) or _begin(place)
        if seconds is None:
            series.inc()
        else:
            series.observe(seconds)
    except (OSError, ValueError) as exc:
        _complain(exc)


def _begin(place: tuple[str, ...]) -> Any:
    name, *values = place
    with _lock:
        if place in _series:
            return _series[place]
        if _sizes.get(name, 0) >= MOST_SERIES:
            values = ["other"] * len(values)
            series = _family(name).labels(*values) if values else _family(name)
            return _series.setdefault((name, *values), series)
        _sizes[name] = _sizes.get(name, 0) + 1
        family = _family(name)
        series = _series[place] = family.labels(*map(str, values)) if values else family
        return series


def _family(name: str) -> Any:
    if name not in _families:
        from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

        global _registry
        if _registry is None:
            disable_created_metrics()
            _registry = CollectorRegistry()
        kind, text, labels = METRICS[name]
        if kind == "counter":
            _families[name] = Counter(name, text, labels, registry=_registry)
        else:
            _families[name] = Histogram(name, text, labels, registry=_registry, buckets=BUCKETS)
    return _families[name]


def _complain(exc: Exception) -> None:
    global _failed
    if not _failed:
        _failed = True
        log.warning("metrics are not being kept: %s", exc)


# -- reading ----------------------------------------------------------------------------------------------------


def exposition() -> tuple[bytes, str]:
    """All figures of this machine's processes as text, and its content type."""
    from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest

    folder = os.environ.get(VARIABLE)
    if folder and Path(folder).is_dir():
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=folder)
        with _locked(Path(folder)):
            return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
    return generate_latest(_registry or CollectorRegistry()), CONTENT_TYPE_PLAIN_0_0_4


# -- several processes ------------------------------------------------------------------------------------------

_FILE = re.compile(r"(counter|histogram)_(\d+)\.db")
_GONE = 0  # the "process" under whose number the figures of dead ones are added up


def prepare_multiprocess() -> None:
    """In the parent, before it forks and before the first figure: give the processes a folder to keep theirs in.

    A folder that the environment names is used as it is, and may be shared by several parents: ``make run`` lets
    web, worker and scheduler share one.
    """
    given = os.environ.get(VARIABLE)
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        _forget_the_dead(Path(given))
        return
    folder = os.environ[VARIABLE] = tempfile.mkdtemp(prefix="pegboard-metrics-")
    atexit.register(_tidy, Path(folder), os.getpid())


def child_exit(pid: int) -> None:
    """In the parent, when a child has ended: add its figures to those of the dead, so that files do not pile up."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return
    from prometheus_client.mmap_dict import MmapedDict

    try:
        with _locked(Path(folder), write=True):
            for path in Path(folder).glob(f"*_{pid}.db"):
                found = _FILE.fullmatch(path.name)
                if found:
                    _add_up(path, MmapedDict(str(path.with_name(f"{found[1]}_{_GONE}.db"))))
                    path.unlink()
    except OSError as exc:
        _complain(exc)


def _add_up(path: Path, total: Any) -> None:
    try:
        for key, value, _, _ in total.read_all_values_from_file(str(path)):
            before, _ = total.read_value(key)
            total.write_value(key, before + value, 0.0)
    except (RuntimeError, ValueError) as exc:  # killed in the middle of a write: the rest of its figures is lost
        _complain(exc)
    finally:
        total.close()


def _forget_the_dead(folder: Path) -> None:
    """Throw away the figures of processes that are no more, unless a live one still works here."""
    files = [(path, int(found[2])) for path in folder.glob("*.db") if (found := _FILE.fullmatch(path.name))]
    living = any(_alive(pid) for _, pid in files)
    for path, pid in files:
        if not _alive(pid) and not (living and pid == _GONE):
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    if pid in (_GONE, os.getpid()):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _tidy(folder: Path, owner: int) -> None:
    if os.getpid() != owner:
        return
    _forget_the_dead(folder)
    if not any(folder.glob("*.db")):  # else a successor of ours works there
        (folder / ".lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _locked(folder: Path, *, write: bool = False) -> Iterator[None]:
    """So that nobody reads while a dead process's figures are in two files, or in none."""
    with open(folder / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if write else fcntl.LOCK_SH)
        yield
