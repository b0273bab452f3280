"""What importing a manifest does besides defining it: noticed by looking before and after, so it costs microseconds.

Every process imports every manifest, wherever the plugin's parts are needed or not, before the fork and before there
is an app. Told apart reliably, and refused: a thread that was started, the process's environment changed, a handler
put on the root logger, a socket left open, a table made, one of the plugin's own parts or services imported. Not
noticed, because looking would cost more than it saves: what was opened and closed again, files, processes, and heavy
libraries (`flask plugins list` shows the load time). Nothing is noticed of a package that had been imported before.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from core.data.models import db

DESCRIPTORS = "/dev/fd"

CURE = "a manifest is data: move that into the part that needs it"


class Sight(NamedTuple):
    """The process as it stands."""

    threads: frozenset[threading.Thread]
    environ: dict[str, str]
    handlers: frozenset[logging.Handler]
    sockets: frozenset[int]
    tables: frozenset[str]
    modules: frozenset[str]


def look(environ: Mapping[str, str]) -> Sight:
    """How things stand now; ``environ`` is the process's own."""
    return Sight(
        frozenset(threading.enumerate()),
        dict(environ),
        frozenset(logging.getLogger().handlers),
        frozenset(_sockets()),
        frozenset(db.metadata.tables),
        frozenset(sys.modules),
    )


def faults(name: str, package: str, before: Sight, after: Sight, parts: Iterable[str]) -> list[str]:
    """What the import of ``package`` has changed, one line each with its cure; ``parts`` it was to leave alone."""
    deeds = _deeds(package, before, after, parts)
    return [f"plugin {name}: importing {package} {deed}; {CURE}" for deed in deeds]


def _deeds(package: str, before: Sight, after: Sight, parts: Iterable[str]) -> Iterator[str]:
    imported = [f"{package}.{part}" for part in parts if f"{package}.{part}" in after.modules - before.modules]
    if imported:
        # What these did besides is their business, and is seen where they are mounted.
        yield f"also imports {', '.join(imported)}"
    elif after.tables - before.tables:
        yield f"makes the table {', '.join(sorted(after.tables - before.tables))}"
    for thread in sorted(after.threads - before.threads, key=lambda thread: thread.name):
        yield f"starts the thread {thread.name!r}"
    changed = sorted(key for key, _ in before.environ.items() ^ after.environ.items())
    if changed:
        yield f"changes the environment ({', '.join(dict.fromkeys(changed))})"
    if after.handlers - before.handlers:
        yield "puts a handler on the root logger"
    if after.sockets - before.sockets:
        yield "leaves a socket open"


def _sockets() -> Iterator[int]:
    """The descriptors of this process that are sockets; none on a system that does not list them."""
    with suppress(OSError):
        for name in os.listdir(DESCRIPTORS):
            with suppress(OSError, ValueError):
                if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                    yield int(name)
