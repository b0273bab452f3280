"""Rows as text: CSV (RFC 4180) and newline-delimited JSON, read and written a piece at a time.

In CSV an empty cell is a field left out, and what is neither text nor number is JSON. A text that a spreadsheet would
run as a formula is written behind an apostrophe, which is taken off again when it is read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from core.errors import MALFORMED_BODY, FieldFault, Refused
from core.web.validation import check_storable, fault_of, refusal_of

Format = Literal["csv", "ndjson"]
MEDIA: dict[str, Format] = {"text/csv": "csv", "application/x-ndjson": "ndjson", "application/jsonl": "ndjson"}

CHUNK = 64 * 1024
LONGEST_ROW = 1024 * 1024
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Raw(NamedTuple):
    """One row as it came: its bytes, for telling it from another, and its cells or its line."""

    told: bytes
    value: dict[str, str] | bytes


# -- reading ----------------------------------------------------------------------------------------------------


def lines(stream: Any, length: int | None) -> Iterator[bytes]:
    """The lines of a body as they arrive. A body that ends before its declared ``length`` has no last line."""
    rest, read = b"", 0
    while True:
        try:
            chunk = stream.read(CHUNK if length is None else min(CHUNK, length - read))
        except Exception as exc:
            raise _cut_off() from exc
        read += len(chunk)
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
        if len(rest) > LONGEST_ROW:
            raise Refused(MALFORMED_BODY, f"a row is longer than {LONGEST_ROW} bytes")
    if length is not None and read < length:
        raise _cut_off()
    if rest:
        yield rest


def _cut_off() -> Refused:
    return Refused(MALFORMED_BODY, "the body ended early: send it again, and what was done is passed over")


def rows(format: Format, found: Iterator[bytes], known: frozenset[str], ignored: frozenset[str]) -> Iterator[Raw]:
    """The rows of a body. ``known`` are the columns that count; ``ignored`` may be there, as in an export."""
    if format == "ndjson":
        yield from (Raw(line.strip(), line) for line in found if line.strip())
        return
    reader = csv.reader(_texts(found), strict=True)
    try:
        header = next(reader, [])
        if strange := [name for name in header if name not in known | ignored]:
            raise refusal_of(FieldFault(strange[0][:200], "UNKNOWN_FIELD", "is not known here"))
        if twice := next((name for at, name in enumerate(header) if name in header[:at]), None):
            raise refusal_of(FieldFault(twice[:200], "REPEATED", "stands twice in the first line"))
        if not set(header) & known:
            raise Refused(MALFORMED_BODY, "the first line of a CSV file names its columns")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise Refused(MALFORMED_BODY, f"line {reader.line_num} has {len(cells)} cells, the first {len(header)}")
            named = {name: cell for name, cell in zip(header, cells, strict=True) if name in known and cell != ""}
            yield Raw(msgspec.json.encode(cells), named)
    except csv.Error as exc:
        raise Refused(MALFORMED_BODY, f"line {reader.line_num} is not CSV: {exc}") from None


def _texts(found: Iterator[bytes]) -> Iterator[str]:
    for number, line in enumerate(found):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise Refused(MALFORMED_BODY, f"line {number + 1} is not UTF-8") from None
        yield text.removeprefix("\ufeff") if number == 0 else text


def parsed(raw: Raw, kind: Any) -> Any:
    """The row as ``kind``. Raises ``Refused``: VALIDATION_FAILED, MALFORMED_BODY."""
    try:
        if isinstance(raw.value, bytes):
            made = msgspec.json.decode(raw.value, type=kind)
        else:
            made = msgspec.convert({name: _cell(text) for name, text in raw.value.items()}, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise refusal_of(fault_of(exc)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refused(MALFORMED_BODY, f"this is not JSON: {exc}"[:200]) from None
    check_storable(made)
    return made


def _cell(text: str) -> Any:
    if text[:1] == "'" and _guarded(text[1:]):
        return text[1:]
    if text[:1] in "[{":
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return text


# -- writing ----------------------------------------------------------------------------------------------------


def written(format: Format, items: Iterable[Any]) -> bytes:
    """Items as lines."""
    if format == "ndjson":
        return b"".join(msgspec.json.encode(item) + b"\n" for item in items)
    told = io.StringIO()
    writer = csv.writer(told)
    for item in items:
        writer.writerow(_cells(msgspec.to_builtins(item).values()))
    return told.getvalue().encode()


def header(names: Sequence[str]) -> bytes:
    """The first line of a CSV file."""
    told = io.StringIO()
    csv.writer(told).writerow(names)
    return told.getvalue().encode()


def _cells(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if value is None:
            yield ""
        elif isinstance(value, str):
            yield f"'{value}" if _guarded(value) else value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield str(value)
        else:
            yield msgspec.json.encode(value).decode()


def _guarded(text: str) -> bool:
    """Whether an apostrophe goes before the text: it would be run, or looks like one that has its apostrophe."""
    return text.startswith(FORMULA) or (text[:1] == "'" and _guarded(text[1:]))
