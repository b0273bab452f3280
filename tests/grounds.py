"""Where processes are forked to be killed: one that has imported everything, and forks whoever is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from redis_sites import ROOT

Ground = Callable[..., int]
"""Called with a role, a site, at which call there, and whether before it; answers how that process ended."""


class Point(NamedTuple):
    """Where one dies, and as what; ``calls`` are the first, second … time that it comes there."""

    site: str
    role: str
    calls: tuple[int, ...] = (1,)


@contextmanager
def opened(script: str, environ: Mapping[str, str]) -> Iterator[Ground]:
    """``script`` is the name of a module of ``tests``: ``killing_ground``, or one that adds roles to it."""
    path = os.pathsep.join((environ.get("PYTHONPATH", ""), str(ROOT)))
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / f"{script}.py")],
        cwd=ROOT,
        env={**environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        told, orders = process.stdout, process.stdin
        assert told.readline() == "ready\n"

        def send(role: str, site: str = "", nth: int = 1, before: bool = True, **more: Any) -> int:
            orders.write(json.dumps({"role": role, "site": site, "nth": nth, "before": before, **more}) + "\n")
            orders.flush()
            return int(told.readline())

        yield send
        orders.close()
        process.wait(30)
