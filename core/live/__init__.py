"""What reaches a person while it is happening."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.live.notify import notify as notify

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "notify": "core.live.notify:notify",
    },
)
