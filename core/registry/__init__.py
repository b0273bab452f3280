"""Finding plugins and keeping them honest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.registry.manifest import Plugin as Plugin, settings_of as settings_of

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "Plugin": "core.registry.manifest:Plugin",
        "settings_of": "core.registry.manifest:settings_of",
    },
)
