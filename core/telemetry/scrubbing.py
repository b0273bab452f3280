"""Taking secrets out of what is logged: by the name they go under, by their shape, and by being known.

Better one word too few in a log than one password too many: where it is unclear what is a value, it is hidden.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import msgspec

from core.config import Secret

HIDDEN = "[hidden]"

LONGEST = 16_384  # characters of one text
WIDEST = 100  # items of one list or mapping
DEEPEST = 6
SHORTEST_KNOWN = 12  # characters; hiding a shorter one, a development password say, would hide words of the language

_WORDS = (
    r"passw(?:or)?d|passphrase|passcode|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential"
    r"|authorization|cookie|pb_access|pb_refresh|jwt|card[_-]?number"
)
_SECRET_NAME = re.compile(_WORDS)
_NAMES = frozenset({"pwd", "pass", "otp", "pin", "cvc", "cvv", "pan", "auth", "dsn"})
_HARMLESS = frozenset({"token_type", "tokens_used"})

_QUOTED = r""""(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?"""
# Also as Werkzeug and the standard library show a list of headers: ('Cookie', 'a=1').
_HEADER = re.compile(
    r"((?:authorization|cookie|csrf[_-]token)[\w-]{0,32}(?:[\"']?\s{0,4}[:=]\s{0,4}|[\"'],\s{0,4}(?=[\"'])))"
    rf"({_QUOTED}|[^\r\n]+)",
    re.IGNORECASE,
)
_PAIR = re.compile(
    rf"((?:(?:{_WORDS})[\w-]{{0,32}}|\b(?:pwd|pass|otp|pin|pin[_-]?code|cvc|cvv))(?:\\?[\"'])?\s{{0,4}}(?:[:=]|%3[AaDd]|=>)\s{{0,4}})"
    rf"({_QUOTED}|\\\"(?:[^\\]|\\(?!\"))*|(?:{re.escape(HIDDEN)}|[^\s,;&)}}\]\"'<>])+)",
    re.IGNORECASE,
)
_SHAPES = re.compile(
    r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*"  # JWT: base64url of {"
    r"|\bpbr1\.[A-Za-z0-9._~-]+"  # refresh token
    r"|\b[sr]k_(?:live|test)_\w{8,}|\bwhsec_\w{8,}|\bAKIA[A-Z0-9]{12,}"  # keys of vendors that people paste
)
# Before any other: those would hide the first line of it and leave the rest. One that was cut off is hidden to the end.
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.IGNORECASE | re.DOTALL
)
_BEARER = re.compile(r"\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{12,}", re.IGNORECASE)
_USERINFO = re.compile(r"(://[^\s/:@?#\"'<>]*):[^\s/\"'<>]*@")
_DIGITS = re.compile(r"(?<![0-9A-Za-z.])(?:2[2-7]|[3-6]\d)\d{2,17}(?:[ -]\d{1,19}){0,8}(?![0-9A-Za-z])")

# Where none of these stands, in lower case, there is nothing for the slower patterns above to find.
_CUES = (
    *("pass", "pwd", "secret", "token", "key", "credential", "authorization", "cookie", "jwt", "card", "otp", "pin"),
    *("cvc", "cvv", "eyj", "pb_", "pbr1.", "sk_", "rk_", "whsec_", "akia", "bearer", "basic"),
)

_known: list[str] = []


def hide(*values: str) -> None:
    """Never show these again, wherever they turn up: the secrets that this board was configured with."""
    for value in values:
        if len(value) >= SHORTEST_KNOWN and value not in _known:
            _known.append(value)
    _known.sort(key=len, reverse=True)
    _scrub_again.cache_clear()


def hide_settings(settings: Any) -> None:
    """``hide`` every Secret in a settings class, the board's or a plugin's, and the passwords in its addresses."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Secret):
                hide(str(each), *_lines(each))
            elif isinstance(each, str) and "://" in each and "@" in each:
                password = each.partition("://")[2].rpartition("@")[0].partition(":")[2]
                hide(password, unquote(password))


def _lines(secret: str) -> list[str]:
    """The lines of a secret that has several, as PEM does: each shows up alone where a text is cut or shown by line."""
    lines = re.split(r"\s|\\[nr]", secret)
    return [line for line in lines if len(line) >= SHORTEST_KNOWN and "-----" not in line] if len(lines) > 1 else []


def scrub(text: str) -> str:
    """``text`` without what looks like, or is known to be, a secret; cut in the middle where it is very long."""
    if len(text) <= 64:
        return _scrub_again(text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 4]} […{len(text) - LONGEST} characters…] {text[-3 * LONGEST // 4 :]}"
    return _scrub(text)


def _scrub(text: str) -> str:
    for value in _known:
        if value in text:
            text = text.replace(value, HIDDEN)
    if "://" in text:
        text = _USERINFO.sub(rf"\1:{HIDDEN}@", text)
    if any(map(text.lower().__contains__, _CUES)):
        text = _PAIR.sub(_hide_value, _HEADER.sub(_hide_value, _PEM.sub(HIDDEN, text)))
        text = _BEARER.sub(rf"\1\2{HIDDEN}", _SHAPES.sub(HIDDEN, text))
    return _DIGITS.sub(_hide_cards, text)


# Routes, methods, ids of who is signed in: most of what a busy process logs, it has logged just before.
_scrub_again = functools.lru_cache(maxsize=1024)(_scrub)


def _hide_value(found: re.Match[str]) -> str:
    value = found[2]
    if value in ("None", "True", "False", "null", "true", "false", HIDDEN):
        return found[0]
    quote = value[0] if value[0] in "\"'" else ""
    closing = quote if quote and len(value) > 1 and value.endswith(quote) else ""
    return f"{found[1]}{quote}{HIDDEN}{closing}"


def clean(value: Any, depth: int = 0) -> Any:
    """A copy of ``value`` that JSON can hold, scrubbed. Never raises."""
    try:
        return _clean(value, depth)
    except Exception:  # a log line must not break what it tells of, and this one has nowhere to go
        return f"[{type(value).__name__} that cannot be shown]"


def _clean(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, Enum):
        return _clean(value.value, depth)
    if isinstance(value, str):
        return scrub(str(value))
    if isinstance(value, int):
        return _clean_number(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, UUID | date | timedelta | Decimal):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if depth >= DEEPEST:
        return "[…]"
    if isinstance(value, Mapping):
        return _clean_mapping(value, depth)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return list(*_clean_mapping({value[0]: value[1]}, depth).items())  # one of a list of headers, perhaps
    if isinstance(value, list | tuple | set | frozenset):
        items = [clean(item, depth + 1) for item in list(value)[:WIDEST]]
        return items if len(value) <= WIDEST else [*items, f"[…{len(value) - WIDEST} more]"]
    if isinstance(value, msgspec.Struct):
        return _clean_mapping({name: getattr(value, name, None) for name in value.__struct_fields__}, depth)
    return scrub(repr(value))


def _clean_number(value: int) -> int | str:
    if abs(value) < 10**12:
        return value
    text = str(value)
    shown = scrub(text)
    return value if shown == text and abs(value) < 2**63 else shown


def _clean_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, item in list(value.items())[:WIDEST]:
        title, secret = _name(str(name)[:200])
        shown[title] = HIDDEN if secret and _tells(item) else clean(item, depth + 1)
    if len(value) > WIDEST:
        shown["…"] = f"{len(value) - WIDEST} more"
    return shown


@functools.lru_cache(maxsize=1024)
def _name(name: str) -> tuple[str, bool]:
    """How a name is shown, and whether what goes under it is kept out of logs."""
    lowered = name.lower()
    return scrub(name), lowered not in _HARMLESS and (lowered in _NAMES or _SECRET_NAME.search(lowered) is not None)


def _tells(value: Any) -> bool:
    """Whether there is anything to hide: that a password is missing may be said."""
    return value is not None and not isinstance(value, bool) and value != ""


# -- cards ------------------------------------------------------------------------------------------------------


def _hide_cards(found: re.Match[str]) -> str:
    """Hide runs of whole digit groups that make a card number, as ``4111 1111 1111 1111`` in ``…1111 12 27``."""
    pieces = re.split(r"([ -])", found[0])
    first = 0
    while first < len(pieces):
        for last in range(len(pieces), first, -2):
            digits = "".join(pieces[first:last:2])
            if 13 <= len(digits) <= 19 and digits[0] in "23456" and _luhn(digits):
                pieces[first:last] = [HIDDEN]
                break
        first += 2
    return "".join(pieces)


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0
