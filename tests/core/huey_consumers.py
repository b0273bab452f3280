"""Consumers of Huey's, as its own script starts them, in processes that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.ops.processes import ROOT
from core.ops.testbed import TestServers

HEAD = """\
import sys
if "greenlet" in sys.argv:
    from gevent import monkey
    monkey.patch_all()
from redis import Redis
from core.background.queue import LeasedHuey
huey = LeasedHuey("shop", url={url!r}, secret={secret!r})
notes = Redis.from_url({url!r})
"""
SECRET = "a secret of the shop"

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def shop(servers: TestServers, tmp_path: Path) -> Iterator[Callable[[str], Start]]:
    """``start = shop("@huey.task() …")`` writes a module ``shop``; ``start("-k", "greenlet")`` a consumer of it."""
    with ExitStack() as stack:

        def write(source: str) -> Start:
            head = HEAD.format(url=servers.redis_url, secret=SECRET)
            (tmp_path / "shop.py").write_text(head + textwrap.dedent(source))
            path = os.pathsep.join((str(tmp_path), str(ROOT)))

            def start(*options: str) -> subprocess.Popen[bytes]:
                command = [sys.executable, "-m", "huey.bin.huey_consumer", "shop.huey", "-q", *options]
                started = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
                stack.callback(started.wait, 20)
                stack.callback(started.kill)
                return started

            return start

        yield write
