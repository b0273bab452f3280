from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from stateful import administrators_token, links_followed

from core.ops.processes import Process


@pytest.mark.timeout(90)
def test_whatever_follows_from_a_reply_is_no_5xx(
    process: Callable[..., Process], tmp_path: Path, superuser: psycopg.Connection
) -> None:
    board = process("web", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    token = administrators_token(board, superuser)
    assert links_followed(board, token, tmp_path, seconds=12, examples=25) >= 8
