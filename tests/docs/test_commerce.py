"""docs/commerce.md, typed line by line against a board of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from stateful import administrators_token
from tour import shell, take, tour

from core.ops.processes import Process

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commerce.md"


@pytest.mark.timeout(120)
def test_the_page_is_a_script(process: Callable[..., Process], tmp_path: Path, superuser: psycopg.Connection) -> None:
    board = process("web", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    environ = {**os.environ, "TOKEN": administrators_token(board, superuser)}
    steps = tour(PAGE.read_text())
    assert len(steps) > 20
    with shell(environ, tmp_path) as sh:
        take(sh, steps, board.url)
