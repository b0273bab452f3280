"""Every test runs on the real servers of ``core.ops.testing``, with the sample plugin ``shelf`` installed."""

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

SAMPLE = str(Path(__file__).parent / "sample")

# Entry points are found on the import path: the sample counts as installed here and in every process started.
sys.path.insert(0, SAMPLE)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (SAMPLE, os.environ.get("PYTHONPATH"))))

pytest_plugins = ["core.ops.testing"]

# A shared machine may stand still for a second in the middle of an example: that says nothing about the code.
settings.register_profile("board", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("board")

# Hypothesis also draws numbers and texts from our own source, out of whichever modules are imported by then: examples
# would be others after each change of a line, and in each order of tests.
assert callable(providers._get_local_constants)
providers._get_local_constants = lambda: providers._local_constants


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """With ``ALL=1`` in the environment a skipped test has failed: figures that are quoted come from such a run."""
    report = yield
    if report.skipped and os.environ.get("ALL") == "1":
        report.outcome = "failed"
    return report
