"""Tasks and results as signed JSON: whoever can write to Redis can neither forge one nor make us run anything.

Plain values go as they are. What JSON does not have is an object of one key that begins with ``!``; a dict that could
be taken for one, or has keys that are no texts, is written as pairs. An exception comes back as itself where it is one
of Python's or of Huey's, and otherwise as a ``RemoteError``.
"""

from __future__ import annotations

import base64
import builtins
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import huey.exceptions
from huey.registry import Message
from huey.serializer import Serializer
from huey.utils import SKIPPED, Error

from core.background.queue.leased_huey.places import Place


class RemoteError(Exception):
    """An exception of a class that is not looked for here: what it said, and how it showed itself."""

    def __init__(self, name: str, said: str, shown: str) -> None:
        super().__init__(said)
        self.name = name
        self.shown = shown

    def __repr__(self) -> str:
        return self.shown


class Gathered(NamedTuple):
    """In the arguments of a chord's callback: the results of so many members, which wait in Redis."""

    chord: str
    size: int


class SignedJson(Serializer):
    """Raises ``TypeError`` for what it cannot carry, ``BadSignature`` or ``ValueError`` for what it did not write."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place

    def _serialize(self, data: Any) -> bytes:
        return self.place.sign(json.dumps(_packed(data), separators=(",", ":")).encode())

    def _deserialize(self, data: bytes) -> Any:
        return _unpacked(json.loads(self.place.verify(data)))


def _packed(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (str, int, float, bool):
        return value
    if kind is list:
        return [_packed(each) for each in value]
    if kind is dict:
        if all(type(key) is str for key in value) and not (len(value) == 1 and next(iter(value)).startswith("!")):
            return {key: _packed(each) for key, each in value.items()}
        return {"!dict": [[_packed(key), _packed(each)] for key, each in value.items()]}
    if kind in _PACK:
        name, pack = _PACK[kind]
        return {f"!{name}": pack(value)}
    if value is SKIPPED:
        return {"!skipped": 0}
    if isinstance(value, BaseException):
        return {"!raised": _packed_exception(value)}
    raise TypeError(f"{kind.__module__}.{kind.__qualname__} cannot go into JSON: give plain values, such as an id")


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(key, inner)] = value.items()
        if key.startswith("!"):
            if key not in _UNPACK:
                raise ValueError(f"{key} is nothing that was packed here")
            return _UNPACK[key](inner)
    return {key: _unpacked(each) for key, each in value.items()}


def _listed(values: Any) -> list[Any]:
    return [_packed(each) for each in values]


def _packed_exception(raised: BaseException) -> list[Any]:
    kind = type(raised)
    if isinstance(raised, RemoteError):
        return ["", raised.name, str(raised), raised.shown, None]
    try:
        args = _listed(raised.args)
    except TypeError:
        args = [str(raised)]
    return [kind.__module__, kind.__qualname__, str(raised), repr(raised), args]


def _exception(told: list[Any]) -> BaseException:
    module, name, said, shown, args = told
    known = {"builtins": builtins, "huey.exceptions": huey.exceptions}.get(module)
    kind = getattr(known, name, None)
    if isinstance(kind, type) and issubclass(kind, BaseException):
        try:
            return kind(*map(_unpacked, args))
        except TypeError:  # it wants more than it keeps
            pass
    return RemoteError(name, said, shown)


_PACK: dict[type, tuple[str, Callable[[Any], Any]]] = {
    tuple: ("tuple", _listed),
    set: ("set", _listed),
    frozenset: ("frozenset", _listed),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
    Message: ("message", _listed),
    Error: ("error", lambda value: _packed(value.metadata)),
    Gathered: ("gathered", list),
}

_UNPACK: dict[str, Callable[[Any], Any]] = {
    "!dict": lambda pairs: {_unpacked(key): _unpacked(each) for key, each in pairs},
    "!tuple": lambda values: tuple(map(_unpacked, values)),
    "!set": lambda values: set(map(_unpacked, values)),
    "!frozenset": lambda values: frozenset(map(_unpacked, values)),
    "!bytes": base64.b64decode,
    "!datetime": datetime.fromisoformat,
    "!date": date.fromisoformat,
    "!time": time.fromisoformat,
    "!timedelta": lambda parts: timedelta(*parts),
    "!decimal": Decimal,
    "!uuid": UUID,
    "!message": lambda fields: Message(*map(_unpacked, fields)),
    "!error": lambda told: Error(_unpacked(told)),
    "!gathered": lambda told: Gathered(*told),
    "!skipped": lambda told: SKIPPED,
    "!raised": _exception,
}
