"""A thousand of schemathesis' ways from reply to request, in a board with one process."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from stateful import administrators_token, links_followed

from core.ops.processes import Process


@pytest.mark.timeout(900)
def test_whatever_follows_from_a_reply_is_no_5xx(
    process: Callable[..., Process], superuser: psycopg.Connection
) -> None:
    board = process("web", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    followed = links_followed(board, administrators_token(board, superuser), superuser, walks=1000)
    assert sum(followed.values()) >= 1000, followed
    assert len({operation for operation, status in followed if status < 300}) >= 20, followed
