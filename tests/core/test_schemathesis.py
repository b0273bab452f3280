"""The running board against its own OpenAPI document: every phase of schemathesis, over real HTTP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
from stateful import administrators_token

from core.ops.processes import Process

ENDS_SESSIONS = r"^/api/auth/(logout|sessions|users|me/erase|password|email)"
"""What would leave an administrator with a token that is good no more: asked afterwards."""

CONFIG = """\
[auth.openapi.bearer]
bearer = "{token}"

[checks.negative_data_rejection]
# What is not the version is refused as any version but the one that is (412), and a long address before it is read.
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 414, 415, 422, 428, 429, "5xx"]

[checks.missing_required_header]
expected-statuses = [400, 401, 403, 406, 415, 422, 428]

[generation]
# PostgreSQL keeps no NUL; that one is refused (422) is tested with the bodies.
allow-x00 = false
deterministic = true
max-examples = 8
"""


@pytest.mark.timeout(150)
def test_no_reply_is_a_5xx_or_undocumented(
    process: Callable[..., Process], tmp_path: Path, superuser: psycopg.Connection
) -> None:
    board = process("web", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    token = administrators_token(board, superuser)
    told = asked(board, token, tmp_path, "--exclude-path-regex", ENDS_SESSIONS, seconds=25)
    # Only what takes a password or a token in its body may refuse all that is drawn at random.
    refused = re.search(r"Authentication failed: (\d+) operations", told)
    assert refused is None or int(refused[1]) <= 3, told
    told += asked(board, token, tmp_path, "--include-path-regex", ENDS_SESSIONS, seconds=10)
    paths = httpx.get(f"{board.url}/openapi.json").json()["paths"]
    tested = sum(map(int, re.findall(r"Tested: (\d+)", told)))
    assert tested == sum(map(len, paths.values())) - 1, told  # the address that it has the document from


def asked(board: Process, token: str, folder: Path, *which: str, seconds: int) -> str:
    """What schemathesis told of asking for ``seconds``; starting it comes on top."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.replace("{token}", token))
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "--no-color"),
            *("run", f"{board.url}/openapi.json", "--url", board.url, *which),
            *("--header", "X-Tenant-ID: default"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--checks", "all"),
            # A service's rules say more than any schema: is this cursor ours, this link still good, this key unused.
            *("--exclude-checks", "positive_data_acceptance"),
            *("--max-time", str(seconds), "--continue-on-failure"),
        ],
        cwd=folder,
        env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, f"{found.stdout}\n{found.stderr}\n{board.log()[-5000:]}"
    return found.stdout
