"""Python and the libraries: those that this version was made for, and installed whole."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from core.ops.doctor.findings import Findings, Patient, error, ok, warning

DISTRIBUTION = "pegboard"
LOCK = Path(__file__).resolve().parents[3] / "requirements.txt"
COMPILED = ("argon2", "cryptography.hazmat.bindings._rust", "gevent._gevent_cgreenlet", "greenlet", "msgspec._core")
"""What only comes as a wheel for one Python and one machine: of another's, the import fails, and only at first use."""
MOST = 5

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def examine(patient: Patient) -> Findings:
    yield from _python()
    yield from _wheels()
    yield from _ranges()
    yield from _lock()


def _python() -> Findings:
    from packaging.specifiers import SpecifierSet

    version = ".".join(map(str, sys.version_info[:3]))
    wanted = _requires_python()
    if wanted and version not in SpecifierSet(wanted):
        yield error("python", f"Python {version}; this version wants {wanted}", "name one that fits in .python-version")
    else:
        yield ok("python", f"Python {version}")


def _requires_python() -> str:
    try:
        return metadata.distribution(DISTRIBUTION).metadata["Requires-Python"] or ""
    except metadata.PackageNotFoundError:
        return ""


def _wheels() -> Findings:
    for name in COMPILED:
        try:
            import_module(name)
        except ImportError as exc:
            cure = "the wheel was made for another Python or machine: install the requirements anew, here"
            yield error("wheels", f"{name.partition('.')[0]} cannot be imported: {exc}", cure)
    import psycopg.pq

    if psycopg.pq.__impl__ == "python":
        found = "psycopg runs on its pure Python layer, which takes several times the CPU"
        yield warning("wheels", found, "install psycopg[binary], as requirements.txt says")


def _ranges() -> Findings:
    """What pyproject.toml asks for, against what is there."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        yield error("installed", f"{DISTRIBUTION} is not installed", "pip install --no-deps -e . finds its plugins")
        return
    wrong = list(_outside(each for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})))
    if wrong:
        cure = "pip install --require-hashes -r requirements.txt"
        yield error("libraries", f"not what this version was made for: {_some(wrong)}", cure)
    else:
        yield ok("libraries", f"{len(wanted)} requirements are met")


def _outside(wanted: Iterable[Any]) -> Iterator[str]:
    for each in wanted:
        try:
            version = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            yield f"{each.name} is missing"
            continue
        if not each.specifier.contains(version, prereleases=True):
            yield f"{each.name} {version} ({each.specifier})"


def _lock() -> Findings:
    """What is tested is what the lock says. Beside an installed board, rather than a checkout, there is none."""
    if not LOCK.exists():
        return
    other = []
    for name, pinned in _PIN.findall(LOCK.read_text()):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # for another system or Python; what is needed here is looked at above
        if version != pinned:
            other.append(f"{name} {version}, locked {pinned}")
    if other:
        yield warning("lock", _some(other), "pip install --require-hashes -r requirements.txt; or `make lock`")
    else:
        yield ok("lock", "as requirements.txt says")


def _some(lines: list[str]) -> str:
    rest = f" and {len(lines) - MOST} more" if len(lines) > MOST else ""
    return f"{', '.join(lines[:MOST])}{rest}"
