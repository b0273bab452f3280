"""What is wrong with a value, told the same way for bodies, query strings and socket messages.

A fault names its field (``$.lines[2].amount`` in a body, the bare name in a query string), one of ``FIELD_CODES``,
and words for people. msgspec stops at the first fault, so there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from core.errors import VALIDATION_FAILED, FieldFault, Refused

SHOWN = 200
"""How many characters of a client's own words a fault repeats."""

FIELD_CODES = (
    "REQUIRED",
    "UNKNOWN_FIELD",
    "WRONG_TYPE",
    "WRONG_LENGTH",
    "OUT_OF_RANGE",
    "NOT_A_CHOICE",
    "BAD_FORMAT",
    "REPEATED",
    "NUL_CHARACTER",
    "INVALID",
)

# msgspec gives one sentence, such as: Expected `int` <= 9 - at `$.lines[2].amount`
_PLACE = re.compile(r" - at (?:`(?:key|value)` in )?`(\$[^`]*)`$")
_OBJECT = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_CODES = (
    (re.compile(r"Expected `[^`]+`, got "), "WRONG_TYPE"),
    (re.compile(r"Expected `[^`]+` .*length"), "WRONG_LENGTH"),
    (re.compile(r"Expected `[^`]+` ([<>]|that's a multiple)|.*out of range"), "OUT_OF_RANGE"),
    (re.compile(r"Invalid (enum )?value"), "NOT_A_CHOICE"),
    (re.compile(r"Expected `[^`]+` (matching|with)|Invalid "), "BAD_FORMAT"),
)


def refusal_of(fault: FieldFault) -> Refused:
    """VALIDATION_FAILED (422) for one field."""
    return Refused(VALIDATION_FAILED, f"{fault.field}: {fault.detail}", fields=(fault,))


def fault_of(exc: msgspec.ValidationError, root: str = "$") -> FieldFault:
    """msgspec's sentence as path, code and words; with ``root`` "" a path begins with the bare name."""
    text = str(exc)
    path = "$"
    if place := _PLACE.search(text):
        text, path = text[: place.start()], place.group(1)
    code = next((code for pattern, code in _CODES if pattern.match(text)), "INVALID")
    if named := _OBJECT.fullmatch(text):
        path = f"{path}.{named.group(2)}"
        if named.group(1) == "missing required":
            code, text = "REQUIRED", "is required"
        else:
            code, text = "UNKNOWN_FIELD", "is not known here"
    if not root:
        path = path.removeprefix("$").removeprefix(".")
    text = text.replace("`", "")
    return FieldFault(path[:SHOWN], code, (text[:1].lower() + text[1:])[:SHOWN])


def check_storable(value: Any, root: str = "$") -> None:
    """Refuse what parses and no store keeps: NUL in text, integers beyond 64 bits, times beyond the calendar."""
    plain = msgspec.to_builtins(value, builtin_types=(datetime,), enc_hook=str)
    for fault in _unstorable(plain, root):
        raise refusal_of(fault)


def _unstorable(value: Any, path: str) -> Iterator[FieldFault]:
    if isinstance(value, str):
        if "\0" in value:
            yield FieldFault(path[:SHOWN], "NUL_CHARACTER", "must not contain the character U+0000")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            yield FieldFault(path[:SHOWN], "OUT_OF_RANGE", "expected an integer of at most 64 bits")
    elif isinstance(value, datetime):
        if not _in_calendar(value):
            yield FieldFault(path[:SHOWN], "OUT_OF_RANGE", "expected a time in the years 1 to 9999, UTC")
    elif isinstance(value, dict):
        for key, part in value.items():
            if part is None and "\0" not in str(key):  # most fields of a query string
                continue
            yield from _unstorable(key, path)
            yield from _unstorable(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _unstorable(part, f"{path}[{index}]")


def _in_calendar(value: datetime) -> bool:
    try:
        value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        return False
    return True
