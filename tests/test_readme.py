"""README's tour, typed line by line against a running board, and docs/names.md against the code."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from flask import Flask
from tour import Step, fits, shell, take, tour

from core.background.queue.gauges import GAUGES
from core.cli import create_cli_app
from core.config import SHARED_VARIABLES, variables
from core.data.models import db
from core.errors import CATALOGUE
from core.ops.processes import Process, free_port
from core.telemetry.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent


def test_every_line_of_the_tour_does_what_it_says(process: Callable[..., Process]) -> None:
    if not shutil.which("curl"):
        pytest.skip("the tour is typed with curl, which is not installed: Debian's package is curl")
    port = free_port()
    address = {"PORT": str(port), "API_URL": f"http://127.0.0.1:{port}"}
    for kind in ("web", "worker"):
        process(kind, **address)
    steps = tour((ROOT / "README.md").read_text())
    assert len(steps) > 10
    with shell({**os.environ, **address, "PYTHON": sys.executable}, ROOT) as sh:
        # `make flask` borrows the addresses of `make run`; here they are in the environment already.
        sh.type('make() { test "$1" = flask && "$PYTHON" -m flask ${2#ARGS=}; }')
        take(sh, steps, address["API_URL"])


# -- docs/names.md ------------------------------------------------------------------------------------------------


def test_every_name_that_outsiders_rely_on_is_told(board: Flask, worker_app: Flask) -> None:
    told = (ROOT / "docs" / "names.md").read_text()
    known = {*_routes(board), *_settings(board), *_commands(create_cli_app().cli, "flask")}
    known |= {f"`{name}`" for name in db.metadata.tables}
    known |= {f"`{name}`" for name in CATALOGUE}
    known |= {f"`{name}`" for name in (*METRICS, *GAUGES)}
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
