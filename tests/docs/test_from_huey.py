"""docs/plugins/from-huey.md: what it shows runs, with the consumers that it names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from pages import files

from core.ops.processes import ROOT
from core.ops.testbed import TestServers

PAGE = ROOT / "docs" / "plugins" / "from-huey.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in files(PAGE.read_text()).items():
        (tmp_path / name).write_text(text)
    return tmp_path


@contextmanager
def running(folder: Path, environ: dict[str, str], *command: str) -> Iterator[None]:
    consumer = subprocess.Popen([sys.executable, *command], cwd=folder, env=environ)
    try:
        yield
    finally:
        consumer.terminate()
        consumer.wait(30)


def said(folder: Path, environ: dict[str, str], *command: str) -> str:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environ, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def environ(folder: Path, servers: TestServers) -> dict[str, str]:
    path = os.pathsep.join((str(folder), str(ROOT), os.environ["PYTHONPATH"]))
    return {**os.environ, "REDIS_URL": servers.redis_url, "SHOP_SECRET": "a secret of the shop", "PYTHONPATH": path}


@pytest.mark.parametrize("kind", ["greenlet", "thread", "process"])
def test_code_that_was_hueys(folder: Path, servers: TestServers, board: Flask, kind: str) -> None:
    given = environ(folder, servers)
    script = "huey_consumer shop.huey -k greenlet -w 10"
    assert script in PAGE.read_text()
    command = ["-m", "huey.bin." + script.split()[0], *script.replace("greenlet", kind).replace("10", "2").split()[1:]]
    with running(folder, given, *command):
        assert said(folder, given, "sell.py") == "[21, 63]\n9\n"


def test_inside_of_the_board(folder: Path, servers: TestServers, board: Flask) -> None:
    given = environ(folder, servers)
    ask = """
from core.app import create_app
from orders import count

with create_app("cli").app_context():
    print(count().get(blocking=True, timeout=20))
"""
    with running(folder, given, "consume.py"):
        assert said(folder, given, "-c", ask) == "orders of default\n"
