"""Huey's own test suites, which ship in its package, on our storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from redis import Redis

os.environ["HUEY_SLOW_TESTS"] = "1"  # told apart at import; none takes longer than two seconds

from huey.tests import base, test_api, test_consumer, test_immediate, test_priority, test_signals, test_storage
from huey.tests.base import BaseTestCase

from core.background.queue import LeasedHuey
from core.background.queue.leased_huey.consumer import LeasedConsumer, LeasedScheduler
from core.ops.testbed import TestServers

MODULES = (test_api, test_consumer, test_immediate, test_priority, test_signals)
LEFT_OUT = {
    "test_chord_bookkeeping_cleared": "reads the counters inside of MemoryStorage; ours is in test_leased_storage",
    "test_read_schedule": "schedules at a clock of its own, in the year 2000: here the server's clock says what is due",
}


class OnLeases(LeasedHuey):
    """In place of MemoryHuey, which Huey's suites run on."""

    url: ClassVar[str]

    def __init__(self, name: str = "huey", **options: Any) -> None:
        super().__init__(name, url=self.url, secret="a secret of the suite", **options)


class OurConsumer(LeasedConsumer):
    """As the suite's own, with a scheduler that does not sleep."""

    scheduler_class = type(
        "Scheduler", (LeasedScheduler,), {"sleep_for_interval": lambda self, current, interval: None}
    )


class StorageSuite(test_storage.StorageTests, BaseTestCase):
    __test__ = False  # pytest would run it by itself as well

    def get_huey(self) -> OnLeases:
        return OnLeases(utc=False)


def _cases() -> Iterator[type[BaseTestCase]]:
    yield StorageSuite
    for module in MODULES:
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, BaseTestCase) and found is not BaseTestCase:
                yield found


TESTS = [(case, name) for case in _cases() for name in dir(case) if name.startswith("test_")]


@pytest.fixture(autouse=True)
def on_leases(servers: TestServers, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(OnLeases, "url", servers.redis_url, raising=False)
    for module in (base, test_api, test_immediate):
        monkeypatch.setattr(module, "MemoryHuey", OnLeases)
    monkeypatch.setattr(BaseTestCase, "consumer_class", LeasedConsumer)
    monkeypatch.setattr(test_consumer.TestConsumerIntegration, "consumer_class", OurConsumer)
    yield
    with Redis.from_url(servers.redis_url) as client:
        client.flushdb()


@pytest.mark.parametrize(
    ("case", "name"),
    [test for test in TESTS if test[1] not in LEFT_OUT],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_upstream(case: type[BaseTestCase], name: str) -> None:
    one = case(name)
    result = one.run()
    assert result is not None
    if hasattr(one, "huey"):
        one.huey.storage.close()
    for _, told in [*result.errors, *result.failures]:
        pytest.fail(told)
    assert not result.skipped


@pytest.mark.unit
def test_what_is_left_out_is_there() -> None:
    assert set(LEFT_OUT) <= {name for _, name in TESTS}
    assert len(LEFT_OUT) <= 6
    assert len(TESTS) > 170
