"""The queues under the tasks: signed messages in Redis, leased to Huey's workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.background.queue.consumer import consume as consume
    from core.background.queue.delivery import push as push
    from core.background.queue.draining import drain as drain
    from core.background.queue.leased_huey.api import LeasedHuey as LeasedHuey

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "consume": "core.background.queue.consumer:consume",
        "drain": "core.background.queue.draining:drain",
        "LeasedHuey": "core.background.queue.leased_huey.api:LeasedHuey",
        "push": "core.background.queue.delivery:push",
    },
)
