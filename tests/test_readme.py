"""README's tour, typed line by line against a running board, and docs/names.md against the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from flask import Flask

from core.cli import create_cli_app
from core.config import SHARED_VARIABLES, variables
from core.data.models import db
from core.errors import CATALOGUE
from core.ops.processes import Process, free_port
from core.telemetry.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent
BOARD = "http://127.0.0.1:8000"
PATIENCE = 20.0
END = "-- end of this command, status"


class Step(NamedTuple):
    """One command of the tour, and what README says that it prints."""

    command: str
    expected: str


def tour(text: str) -> list[Step]:
    """Every `$ command` of the console blocks, with the lines below it up to the next."""
    steps: list[Step] = []
    for block in re.findall(r"^```(?:console|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, rest = [], part.splitlines()
            while rest and (not command or command[-1].endswith(("\\", "|"))):
                command.append(rest.pop(0))
            steps.append(Step("\n".join(command), "\n".join(rest)))
    return steps


def fits(printed: str, expected: str) -> bool:
    """Whether the output is what README says; `…` stands for anything, and white space is only layout."""
    bare = re.sub(r"\s+", "", expected)
    pattern = ".*?".join(re.escape(part) for part in bare.split("…"))
    return re.fullmatch(pattern, re.sub(r"\s+", "", printed)) is not None


class Shell:
    """One `sh`, so that what a command sets the next one has."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._sh = subprocess.Popen(
            ["/bin/sh"], cwd=ROOT, env=environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def type(self, command: str) -> tuple[int, str]:
        """Status and output."""
        assert self._sh.stdin
        assert self._sh.stdout
        self._sh.stdin.write(f"{command}\nprintf '\\n{END} %s\\n' $?\n")
        self._sh.stdin.flush()
        lines = []
        for line in self._sh.stdout:
            if line.startswith(END):
                return int(line.removeprefix(END)), "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended at: {command}\n{''.join(lines)}")

    def close(self) -> None:
        assert self._sh.stdin
        self._sh.stdin.close()
        self._sh.wait(10)
        assert self._sh.stdout
        self._sh.stdout.close()


@contextmanager
def shell(environ: dict[str, str]) -> Iterator[Shell]:
    opened = Shell(environ)
    try:
        yield opened
    finally:
        opened.close()


def take(sh: Shell, steps: list[Step], url: str) -> None:
    """Type each command, at the board's real address; what only reads is typed again until a worker has caught up."""
    for command, expected in steps:
        typed, wanted = command.replace(BOARD, url), expected.replace(BOARD, url)
        deadline = time.monotonic() + PATIENCE
        while True:
            status, printed = sh.type(typed)
            assert status == 0, f"$ {typed}\n{printed}"
            if fits(printed, wanted):
                break
            reads = typed.startswith("curl -s ") and " -d " not in typed and " -X " not in typed
            assert reads and time.monotonic() < deadline, f"$ {typed}\n{printed}\nREADME says\n{wanted}"
            time.sleep(0.1)


def test_every_line_of_the_tour_does_what_it_says(process: Callable[..., Process]) -> None:
    if not shutil.which("curl"):
        pytest.skip("the tour is typed with curl, which is not installed: Debian's package is curl")
    port = free_port()
    address = {"PORT": str(port), "API_URL": f"http://127.0.0.1:{port}"}
    for kind in ("web", "worker"):
        process(kind, **address)
    steps = tour((ROOT / "README.md").read_text())
    assert len(steps) > 10
    with shell({**os.environ, **address, "PYTHON": sys.executable}) as sh:
        # `make flask` borrows the addresses of `make run`; here they are in the environment already.
        sh.type('make() { test "$1" = flask && "$PYTHON" -m flask ${2#ARGS=}; }')
        take(sh, steps, address["API_URL"])


# -- docs/names.md ------------------------------------------------------------------------------------------------


def test_every_name_that_outsiders_rely_on_is_told(board: Flask, worker_app: Flask) -> None:
    told = (ROOT / "docs" / "names.md").read_text()
    known = {*_routes(board), *_settings(board), *_commands(create_cli_app().cli, "flask")}
    known |= {f"`{name}`" for name in db.metadata.tables}
    known |= {f"`{name}`" for name in CATALOGUE}
    known |= {f"`{name}`" for name in METRICS}
    known |= {f"`{name}`" for name in board.extensions["pegboard.permissions"]}
    known |= {f"`{name}`" for name in board.extensions["pegboard.duties"]}
    known |= {f"`{name}`" for name in worker_app.extensions["pegboard.tasks"].names()}
    assert sorted(name for name in known if name not in told and "shelf" not in name.lower()) == []


def _routes(board: Flask) -> Iterator[str]:
    for rule in board.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            path = re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule)
            yield f"`{method} {path}`"


def _settings(board: Flask) -> Iterator[str]:
    yield from (f"`{name}`" for name in SHARED_VARIABLES)
    for entry in board.extensions["pegboard.registry"].on:
        if entry.plugin.settings:
            yield from (f"`{name}`" for _, name in variables(entry.plugin.settings, f"{entry.plugin.name}_"))


def _commands(group: click.Group, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")
        elif path != "flask":  # Flask's own: run, shell, routes
            yield f"`{path} {name}"


@pytest.mark.unit
def test_the_tour_is_read_as_it_is_meant() -> None:
    text = "```console\n$ one \\\n  two\nsaid …\n$ three |\n  four\n```\n```\n$ not this\n```\n"
    assert tour(text) == [Step("one \\\n  two", "said …"), Step("three |\n  four", "")]
    assert fits('{"a": 1,\n "b": 2}\n', '{"a":1,…}')
    assert not fits('{"a":2}', '{"a":1}')
    assert not fits("something", "")


@pytest.mark.unit
@pytest.mark.parametrize("page", ["README.md", "docs/names.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\(([^)#]+)", path.read_text())
    assert targets
    assert [target for target in targets if "://" not in target and not (path.parent / target).exists()] == []
