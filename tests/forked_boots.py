"""Boards in processes of their own, in milliseconds: one process imports the board, and a fork of it answers each call.

A plugin that is wrong, or one that is there for a single test, leaves its tables and modules in whatever process
imports it; here that process ends with the answer.
"""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.app import ROOMS

SECONDS = 60
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*ROOMS, "core.cli", "core.data.migrations.drift", "flask_migrate", "psycopg"])


def apart(call: Callable[..., Any], *folders: Path, environ: Mapping[str, str] | None = None, **given: Any) -> Any:
    """What ``call(**given)`` answers in a process that has ``folders`` on its path and ``environ`` besides ours."""
    here, there = _context.Pipe(duplex=False)
    surroundings = ([str(folder) for folder in folders], {**os.environ, **(environ or {})})
    process = _context.Process(target=_answer, args=(there, call, surroundings, given))
    with here, there:
        process.start()
        there.close()
        try:
            if not here.poll(SECONDS):
                raise AssertionError(f"{call.__name__} did not answer in {SECONDS} s")
            good, answer = here.recv()
        finally:
            process.kill()
            process.join()
            process.close()
    assert good, answer
    return answer


def _answer(there: Connection, call: Callable[..., Any], surroundings: Any, given: dict[str, Any]) -> None:
    folders, environ = surroundings
    sys.path[:0] = folders
    os.environ.clear()
    os.environ.update(environ)
    try:
        there.send((True, call(**given)))
    except BaseException as exc:
        import traceback

        there.send((False, "".join(traceback.format_exception(exc))))
    there.close()
    os._exit(0)


# -- what can be asked --------------------------------------------------------------------------------------------


def faults(kind: str = "web") -> list[str]:
    """What a board complains of as it boots; nothing when it stands."""
    from core.app import create_app
    from core.errors import BootError

    try:
        create_app(kind)  # type: ignore[arg-type]
    except BootError as exc:
        return list(exc.faults)
    return []


def start(*, words: list[str]) -> tuple[int, str]:
    """The head of a web process: its exit status, and what it says as it ends; 0 where it would serve."""
    from core.app import boot

    return _spoken(lambda: boot("web"))


def flask(*, words: list[str], typed: str = "") -> tuple[int, str]:
    """``flask <words>``: its exit status, and what it said on both streams, ``typed`` being its standard input."""
    os.environ["FLASK_APP"] = "core.cli:create_cli_app"
    sys.argv = ["flask", *words]
    sys.stdin = io.StringIO(typed)
    return _spoken(import_module("flask.cli").main)


def _spoken(call: Callable[[], Any]) -> tuple[int, str]:
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            call()
        except SystemExit as exc:
            return int(exc.code or 0), said.getvalue()
    return 0, said.getvalue()


def post(*, path: str) -> tuple[int, list[tuple[str, str]]]:
    """A POST to a web board: the reply's status, and what plugins and their rooms logged meanwhile, with its level."""
    from core.app import create_app

    board = create_app("web")
    lines: list[tuple[str, str]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((record.levelname, self.format(record)))

    logging.getLogger().addHandler(Keep())
    reply = board.test_client().post(path)
    return reply.status_code, lines


def routes(*, kind: str = "web") -> dict[str, Any]:
    """Which plugins are on, and what ``/livez`` and ``/openapi.json`` answer, on a board of this kind."""
    from core.app import create_app

    board = create_app(kind)  # type: ignore[arg-type]
    on = [entry.plugin.name for entry in board.extensions["pegboard.registry"].on]
    if kind != "web":
        return {"on": on}
    client = board.test_client()
    return {"on": on, **{path: client.get(path).status_code for path in ("/livez", "/openapi.json")}}
