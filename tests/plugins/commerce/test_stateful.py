"""Schemathesis walks from reply to request, by the links that the document tells."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from stateful import administrators_token, links_followed

from core.ops.processes import Process


@pytest.mark.timeout(180)
def test_whatever_follows_from_a_reply_is_no_5xx(
    process: Callable[..., Process], superuser: psycopg.Connection
) -> None:
    board = process("web", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    followed = links_followed(board, administrators_token(board, superuser), superuser, walks=35)
    done = {operation for operation, status in followed if status < 300}
    assert len(done) >= 8, followed
    assert {operation.split("_")[1] for operation in done} >= {"get", "patch", "delete", "restore"}, followed
