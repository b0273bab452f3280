"""What a call to a logger becomes."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

from core.config import BoardSettings, Secret
from core.telemetry import logs

SETTINGS = BoardSettings(
    app_env="production", database_url="-", redis_url="-", mongodb_uri="-", secret_keys=(Secret("k" * 40),)
)


def told(message: object = "hello", *args: object, level: int = logging.INFO, **more: Any) -> dict[str, Any]:
    """What a call to a logger becomes, read back from the JSON line."""
    logger, lines = logging.Logger("plugins.chat.services"), io.StringIO()  # noqa: LOG001 - one of its own
    handler = logging.StreamHandler(lines)
    handler.setFormatter(logs.JsonLines())
    logger.addHandler(handler)
    logger.log(level, message, *args, **more)
    text = lines.getvalue()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert len(text.splitlines()) == 1
    read: dict[str, Any] = json.loads(text)
    return read
