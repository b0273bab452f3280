"""A Python environment as somebody has it who never saw this tree: the board from a wheel, and pip.

What the board needs is borrowed from the environment that runs the tests, so that making one takes a second or two
and no network. The board itself is not: it can only come from the wheel.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from core.ops.processes import COMMANDS, Process
from core.ops.testbed import TestServers, with_path

ROOT = Path(__file__).resolve().parent.parent
IN_THE_WHEEL = ("core", "plugins", "templates", "migrations")
BESIDE = ("wsgi.py", "gunicorn.conf.py", "setup.py", "pyproject.toml", "README.md", "LICENSE")
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation")
FLASK = ("-m", "flask", "--app", "core.cli:create_cli_app")


def board_wheel(factory: pytest.TempPathFactory) -> Path:
    """The board's wheel, built once in a run: whoever comes first builds it, in whichever worker; the others wait."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "board-wheel"
    try:
        folder.mkdir()
    except FileExistsError:
        eventually(lambda: list(folder.glob("pegboard-*.whl")), 100)
    else:
        built = _build_board(factory.mktemp("board-build"))
        built.rename(folder / built.name)
    return next(folder.glob("pegboard-*.whl"))


def _build_board(folder: Path) -> Path:
    """From a copy: a build leaves its traces where it works."""
    tree = folder / "tree"
    tree.mkdir()
    for name in IN_THE_WHEEL:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        shutil.copy(ROOT / name, tree)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", *OFFLINE)
    _run(*pip, "--wheel-dir", str(folder), str(tree))
    return next(folder.glob("pegboard-*.whl"))


class FreshEnv:
    """A virtual environment in ``folder`` with every library of this one, except the board."""

    def __init__(self, folder: Path) -> None:
        _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
        self.python = folder / "bin" / "python"
        self.site = next((folder / "lib").glob("python3*")) / "site-packages"
        borrowed = folder / "borrowed"
        borrowed.mkdir()
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if not entry.name.startswith(("pegboard", "__editable__", "__pycache__")) and entry.suffix != ".pth":
                (borrowed / entry.name).symlink_to(entry)
        (self.site / "borrowed.pth").write_text(f"{borrowed}\n")
        self.environ = self.environ_apart()

    @staticmethod
    def environ_apart() -> dict[str, str]:
        """This process's environment, without what points back into the tree."""
        return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}

    def pip(self, *arguments: str) -> str:
        offline = OFFLINE if arguments[0] == "install" else ()
        return self.run("-m", "pip", "--disable-pip-version-check", *arguments, *offline)

    def flask(self, *arguments: str) -> str:
        return self.run(*FLASK, *arguments)

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """What a Python command says; it must end well."""
        return _run(str(self.python), *arguments, cwd=cwd or self.site.parent, environ=self.environ)

    @contextmanager
    def processes(self, *kinds: str) -> Iterator[list[Process]]:
        """Web and worker processes of this environment's board, killed in the end: they leave nothing to anybody."""
        with ExitStack() as stack:
            started = [_Elsewhere(self, kind) for kind in kinds]
            for each in started:
                stack.callback(each.close)
            for each in started:
                each.wait_ready()
            yield list(started)


class _Elsewhere(Process):
    def __init__(self, env: FreshEnv, kind: str) -> None:
        self._env = env
        super().__init__(kind, {})

    def start(self) -> None:
        self.environ = {**self._env.environ, **{name: self.environ[name] for name in ("PORT", "TMPDIR")}}
        self._began = self._log.stat().st_size
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                [str(self._env.python), *COMMANDS[self.kind]],
                cwd=self._env.site,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def lent(servers: TestServers, number: int) -> dict[str, str]:
    """The environment of another pytest, which then works on these servers, as their worker ``number``."""
    addresses = ("superuser_url", "redis_url", "mongodb_uri")
    facts = {
        **{name: getattr(servers, name) for name in addresses},
        "secret_key": "for one run of tests, and no longer",
    }
    return {
        "PYTHONPATH": str(Path(__file__).parent),
        "PYTEST_ADDOPTS": "-p lent_servers -p no:cacheprovider",
        "LENT_SERVERS": json.dumps(facts),
        "LENT_AS": f"gw{number}",
    }


@contextmanager
def scratch(servers: TestServers, word: str) -> Iterator[dict[str, str]]:
    """The environment of a board on an empty database of its own; Redis and documents are the test worker's."""
    with psycopg.connect(servers.superuser_url, autocommit=True) as admin:
        role, name = sql.Identifier(admin.info.dbname), f"{admin.info.dbname}_{word}"
        drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        admin.execute(drop)
        admin.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), role))
        try:
            yield {"DATABASE_URL": with_path(servers.database_url, name)}
        finally:
            admin.execute(drop)


def eventually(what: Callable[[], Any], seconds: float = 30) -> None:
    """Return once ``what()`` is true; it must be so in time."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _run(*command: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=environ, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, f"$ {' '.join(command)}\n{done.stdout}"
    return done.stdout
