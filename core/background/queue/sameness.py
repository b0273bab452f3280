"""By which arguments two jobs are the same: for twins (``twins.py``) and for limits by argument (``gates.py``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.data.envelopes import Envelope


def facts(envelope: Envelope, names: Iterable[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values of these arguments as its task takes them: what is left out has its default, and 3.0 is 3."""
    return {name: _plain(envelope.payload.get(name, defaults.get(name))) for name in sorted(names)}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value
