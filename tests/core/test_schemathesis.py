"""The running board against its own OpenAPI document: every phase of schemathesis, over real HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from core.ops.processes import Process

SECONDS = 15
"""How long schemathesis may go on asking; starting it and the board comes on top."""

CONFIG = """\
[auth.openapi.bearer]
bearer = "{token}"

[generation]
# PostgreSQL keeps no NUL; that one is refused (422) is tested with the bodies.
allow-x00 = false
deterministic = true
max-examples = 8
"""


@pytest.mark.timeout(90)
def test_no_reply_is_a_5xx_or_undocumented(process: Callable[..., Process], tmp_path: Path) -> None:
    board = process("web", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    account = {"email": "alice@example.com", "password": "correct horse battery", "display_name": "Alice"}
    signed_in = httpx.post(f"{board.url}/api/auth/register", json=account, timeout=10)
    assert signed_in.status_code == 201, signed_in.text
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.replace("{token}", signed_in.json()["access_token"]))
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "--no-color"),
            *("run", f"{board.url}/openapi.json", "--url", board.url),
            *("--header", "X-Tenant-ID: default"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--checks", "all"),
            # A service's rules say more than any schema: is this cursor ours, this link still good, this key unused.
            *("--exclude-checks", "positive_data_acceptance"),
            *("--max-time", str(SECONDS), "--continue-on-failure"),
        ],
        cwd=tmp_path,
        env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, f"{found.stdout}\n{found.stderr}\n{board.log()[-5000:]}"
    paths = httpx.get(f"{board.url}/openapi.json").json()["paths"]
    operations = sum(map(len, paths.values())) - 1  # it leaves out the address that it has the document from
    assert f"Tested: {operations}" in " ".join(found.stdout.split()), found.stdout
