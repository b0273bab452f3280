"""A whole board for tests that kill it: servers of its own, and web, worker and scheduler processes on them."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from throwaway import HASTE, install

from core.ops.embedded import Servers, start
from core.ops.processes import ROOT, Process
from core.ops.testbed import prepare

PASSWORD = "correct horse battery"
PATIENCE = 40.0


class House:
    """Servers, and a web, a worker and a scheduler process on them."""

    def __init__(self, servers: Servers, environ: dict[str, str]) -> None:
        self.servers = servers
        self.web, self.worker, self.scheduler = (Process(kind, environ) for kind in ("web", "worker", "scheduler"))

    @property
    def processes(self) -> tuple[Process, Process, Process]:
        return self.web, self.worker, self.scheduler

    def ask(
        self, method: str, path: str, body: Any = None, token: str = "", patience: float = 15
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, decoded body and headers."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body is not None else None
        asked = urllib.request.Request(f"{self.web.url}{path}", data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=patience) as reply:
                return reply.status, json.loads(reply.read() or b"null"), dict(reply.headers)
        except urllib.error.HTTPError as problem:
            with problem:
                return problem.code, json.loads(problem.read()), dict(problem.headers)

    def register(self) -> str:
        """A new account; its access token."""
        email = f"alice+{secrets.token_hex(6)}@example.com"
        body = {"email": email, "password": PASSWORD, "display_name": "Alice"}
        status, reply, _ = self.ask("POST", "/api/auth/register", body)
        assert status == 201, reply
        return str(reply["access_token"])

    def welcomed(self, token: str) -> bool:
        """Whether the background task has left its notification; exactly one."""
        status, page, _ = self.ask("GET", "/api/notifications", token=token)
        assert status == 200, page
        assert len(page["items"]) <= 1
        return bool(page["items"])


def eventually(what: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    servers = start(folder / "servers", durable=True)
    try:
        facts = {name: getattr(servers, name) for name in ("superuser_url", "redis_url", "mongodb_uri")}
        environ = prepare(facts, 0).environ(secrets.token_urlsafe(48), str(folder / "instance"))
        environ |= {"PLUGINS": "auth,haste", **install(folder, "haste", models=HASTE)}
        command = [sys.executable, "-m", "flask", "db", "upgrade"]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, check=True, capture_output=True)
        house = House(servers, environ)
        try:
            for process in house.processes:
                process.wait_ready()
            yield house
        finally:
            for process in house.processes:
                process.close()
    finally:
        servers.stop()
