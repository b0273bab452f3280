"""The bell: whoever puts something on a queue rings it, so that a worker at rest need not ask again and again.

A ring that is lost costs a second: the pumps look by themselves as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

BELL = "pb:q:bell"
PATIENCE = 1.0


class Bell:
    """Calls what ``ring`` has under the name of a queue that has something new."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.ring: dict[str, Callable[[], None]] = {}
        self._stopped = False

    def start(self) -> None:
        Thread(target=self._run, name="bell", daemon=True).start()

    def stop(self) -> None:
        self._stopped = True

    def _run(self) -> None:
        while not self._stopped:
            try:
                with self.client.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(BELL)
                    self._listen(channel)
            except (RedisError, OSError):
                time.sleep(PATIENCE)

    def _listen(self, channel: Any) -> None:
        while not self._stopped:
            message = channel.get_message(timeout=PATIENCE)
            # Anybody can publish here, and anything: what is no UTF-8 is the name of no queue.
            if message and (ring := self.ring.get(message["data"].decode(errors="replace"))):
                ring()
