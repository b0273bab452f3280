"""A Redis without memory: what is finished can be settled all the same, so that room is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError

from core.background.queue.frames import frame
from core.background.queue.leased import Leased, Settled
from core.ops.embedded import start


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Redis]:
    own = start(tmp_path / "valkey", durable=False, only=("valkey",))
    assert own.valkey
    with Redis.from_url(own.valkey.url) as client:
        yield client
    own.stop()


def test_settling_needs_no_memory(full: Redis) -> None:
    queue = Leased(full, "default", "one")
    queue.push((0, frame(b"x" * 1000)) for _ in range(200))
    taken = queue.step(100).taken
    full.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        queue.push([(0, frame(b"one more"))])
    step = queue.step(0, [Settled(each.nonce, [("count", "completed", 1)]) for each in taken])
    assert step.lost == []
    assert queue.held() == ([], [])
    assert len(queue.step(100).taken) == 100, "and what waits can be taken"
    full.config_set("maxmemory", 0)
    queue.push([(0, frame(b"one more"))])
