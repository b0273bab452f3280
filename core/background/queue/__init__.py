"""The queues under the tasks: signed messages in Redis, leased to Huey's workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.background.queue.consumer import consume as consume
    from core.background.queue.delivery import push as push
    from core.background.queue.draining import drain as drain

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "consume": "core.background.queue.consumer:consume",
        "drain": "core.background.queue.draining:drain",
        "push": "core.background.queue.delivery:push",
    },
)
