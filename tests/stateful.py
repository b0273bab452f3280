"""Schemathesis on its stateful way through commerce: what one reply tells, the next request uses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg

from core.data import DEFAULT, new_id
from core.ops.processes import Process

CONFIG = """\
[auth.openapi.bearer]
bearer = "{token}"

[generation]
allow-x00 = false
deterministic = true
max-examples = {examples}
mode = "positive"
"""
CHECKS = "not_a_server_error,status_code_conformance,response_schema_conformance"
PATHS = "^/api/commerce/"


def administrators_token(board: Process, superuser: psycopg.Connection) -> str:
    account = {"email": "alice@example.com", "password": "correct horse battery", "display_name": "Alice"}
    signed_in = httpx.post(f"{board.url}/api/auth/register", json=account, timeout=10).json()
    superuser.execute(
        "insert into core_role_assignments (id, tenant_id, principal_id, role, created_at, updated_at)"
        " values (%s, %s, %s, 'admin', now(), now())",
        (new_id(), DEFAULT.id, signed_in["user"]["id"]),
    )
    return str(signed_in["access_token"])


def links_followed(board: Process, token: str, folder: Path, *, seconds: int, examples: int) -> int:
    """How many of the links were followed within so many seconds; fails with what schemathesis found."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.replace("{token}", token).replace("{examples}", str(examples)))
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "--no-color"),
            *("run", f"{board.url}/openapi.json", "--url", board.url, "--include-path-regex", PATHS),
            *("--phases", "stateful", "--max-time", str(seconds), "--continue-on-failure", "--checks", CHECKS),
        ],
        cwd=folder,
        env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, f"{found.stdout}\n{found.stderr}\n{board.log()[-5000:]}"
    links = re.search(r"API Links:\s+(\d+) covered", found.stdout)
    assert links is not None, found.stdout
    return int(links[1])
