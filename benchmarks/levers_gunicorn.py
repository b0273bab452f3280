"""The project's gunicorn.conf.py with levers turned off, for ``make levers``: ``gunicorn -c python:…`` reads this.

``LEVERS_OFF`` names the levers that do not pull: ``freeze``, ``turn``, ``wait``; ``LEVERS_EAGER`` the modules that the
master imports before the fork. A switch for either would be a setting that no operator should ever touch, so the
project's file is read as it is and its hooks are replaced here. A worker that gets SIGUSR2 runs a full collection.
"""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import Any

from benchmarks.levers_eager import bring_named

PROJECT = Path(__file__).resolve().parent.parent / "gunicorn.conf.py"
OFF = os.environ.get("LEVERS_OFF", "").split()

exec(compile(PROJECT.read_text(), str(PROJECT), "exec"), globals())  # its hooks become this module's

_project = dict(globals())


def when_ready(server: Any) -> None:
    bring_named()
    if "freeze" in OFF:
        gc.collect()
    else:
        _project["when_ready"](server)


def post_worker_init(worker: Any) -> None:
    signal.signal(signal.SIGUSR2, lambda number, frame: gc.collect() and None)
    if "wait" in OFF:
        from psycopg import waiting

        from core.data.waiting import _stock

        waiting.wait = _stock
    _project["post_worker_init"](worker)


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    if "turn" not in OFF:
        _project["post_request"](worker, request, environ, response)
