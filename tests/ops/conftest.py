"""A board for the doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from ward import Ward

from core.ops.testbed import TestServers


@pytest.fixture
def ward(
    servers: TestServers,
    board: Flask,
    superuser: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Ward:
    """A production board that is well, on emptied servers."""
    return Ward(servers, tmp_path, superuser, monkeypatch)
