"""The bell rings for whoever listens, whatever else is published there."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest
from flask import Flask
from redis_cable import until

from core.background.queue.bell import BELL, Bell
from core.data import redis


@pytest.fixture
def heard(ctx: Flask) -> Iterator[Event]:
    heard, bell = Event(), Bell(redis.dedicated(4.0))
    bell.ring = {"default": heard.set}
    bell.start()
    until(lambda: dict(redis.client().pubsub_numsub(BELL))[BELL.encode()] > 0)
    yield heard
    bell.stop()


def test_noise_makes_nobody_deaf(heard: Event) -> None:
    redis.client().publish(BELL, b"\xff\xfe")
    redis.client().publish(BELL, "another")
    redis.client().publish(BELL, "default")
    assert heard.wait(5)
