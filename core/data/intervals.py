"""Intervals of time as they are asked for from outside."""

from __future__ import annotations

from datetime import UTC, datetime

from core.errors import VALIDATION_FAILED, FieldFault, Refused


def interval(since: str, until: str) -> tuple[datetime, datetime]:
    """The half-open interval between two RFC 3339 times, in UTC, which is also what one without a zone is taken for.

    ``Refused(VALIDATION_FAILED)``.
    """
    begin, end = _moment("since", since), _moment("until", until)
    if begin >= end:
        raise _unacceptable("until", "is not after since")
    return begin, end


def _moment(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _unacceptable(name, "expected a time as in RFC 3339") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _unacceptable(field: str, detail: str) -> Refused:
    return Refused(VALIDATION_FAILED, f"{field}: {detail}", fields=(FieldFault(field, "BAD_FORMAT", detail),))
