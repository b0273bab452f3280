"""The queue under the tasks: signed messages in Redis, and Huey's consumer over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.background.queue.consumer import consume as consume
    from core.background.queue.huey import drain as drain
    from core.background.queue.lists import push as push

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "consume": "core.background.queue.consumer:consume",
        "drain": "core.background.queue.huey:drain",
        "push": "core.background.queue.lists:push",
    },
)
