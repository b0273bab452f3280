"""A pytest plugin for a pytest within a test: it works on databases of its own on the servers that run already.

    PYTEST_ADDOPTS="-p lent_servers" LENT_SERVERS='{…}' python -m pytest

The shipped plugin takes it for a worker of pytest-xdist, which starts no servers either.
"""

from __future__ import annotations

import os
from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: Any) -> None:
    config.workerinput = {"workerid": os.environ["LENT_AS"], "pegboard_servers": os.environ["LENT_SERVERS"]}
