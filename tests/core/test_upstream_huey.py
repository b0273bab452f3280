"""Huey's own test suites, which ship in its package, on our storage."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from huey.tests import base, test_api, test_consumer, test_priority, test_signals, test_storage
from huey.tests.base import BaseTestCase

from core.background.queue import LeasedHuey

MODULES = (test_api, test_consumer, test_priority, test_signals)
LEFT_OUT = {
    "test_chord_bookkeeping_cleared": "reads MemoryStorage's private counters",
}


class OnLeases(LeasedHuey):
    """In place of MemoryHuey, which Huey's suites run on."""


class TestLeasedStorage(test_storage.StorageTests, BaseTestCase):
    def get_huey(self) -> Any:
        return OnLeases(utc=False)


def _cases() -> Iterator[type[BaseTestCase]]:
    yield TestLeasedStorage
    for module in MODULES:
        for name, found in vars(module).items():
            if isinstance(found, type) and issubclass(found, BaseTestCase) and found is not BaseTestCase:
                yield found


@pytest.fixture(autouse=True)
def on_leases(ctx: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (base, test_api):
        monkeypatch.setattr(module, "MemoryHuey", OnLeases)
    yield


@pytest.mark.parametrize(
    ("case", "method"),
    [(case, name) for case in _cases() for name in dir(case) if name.startswith("test_")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_upstream(case: type[BaseTestCase], method: str) -> None:
    one = case(method)
    result = one.run()
    one.huey.storage.close()
    for _, told in [*result.errors, *result.failures]:
        pytest.fail(told)
    for _, why in result.skipped:
        pytest.skip(why)
