"""What addresses and rates must look like. Their shape only: nothing is imported to use them, and nothing is asked.

Each function answers what was expected instead, or nothing. No answer quotes the text: it may hold a password.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

STORES = {
    "database_url": ("postgresql", "postgres", "postgresql+psycopg"),
    "migration_database_url": ("postgresql", "postgres", "postgresql+psycopg"),
    "redis_url": ("redis", "rediss", "unix"),
    "mongodb_uri": ("mongodb", "mongodb+srv"),
}
_EXAMPLES = {
    "postgresql": "postgresql://user:password@host:5432/name",
    "redis": "redis://host:6379/0, rediss://… or unix:///path",
    "mongodb": "mongodb://user:password@host:27017/name or mongodb+srv://…",
}

_HOST = re.compile(r"(?:\[[^\]]+\]|[^:\[\]]*)(?::(?P<port>\d{0,5}))?", re.ASCII)

# The form that ``core.trust.limits`` reads, which lies above the settings; a test holds the two together.
_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,4})?\s*(second|minute|hour|day)s?\s*", re.ASCII)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_FASTEST = 10_000  # a second


def shown(text: str) -> str:
    """A refused value as a message may quote it: without what stands before an ``@``, where a password would be."""
    head, at, tail = text.rpartition("@")
    if ":" in head:
        scheme, separator, _ = head.partition("://")
        text = f"{scheme}{separator}…{at}{tail}" if separator else f"…{at}{tail}"
    return repr(text)


def store(name: str, url: str) -> str:
    """The address of a database, of Redis or of the document store, ``name`` being its setting's."""
    schemes = STORES[name]
    scheme, separator, rest = url.partition("://")
    expected = f"expected {_EXAMPLES[schemes[0]]}"
    if not separator or scheme not in schemes:
        return expected
    if scheme == "unix":
        return "" if rest.rpartition("@")[2].partition("?")[0] else expected
    user, _, place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    usable = _several(scheme, user, place) if scheme.startswith("mongodb") else _one(place)
    if usable and scheme.startswith("redis"):
        usable = _splits(url)  # its client goes by this, which wants a password's brackets in pairs
    return "" if usable else f"{expected}; special characters of user and password as %XX"


def _one(place: str) -> bool:
    found = _HOST.fullmatch(place)
    return found is not None and int(found["port"] or 0) < 65536


def _several(scheme: str, user: str, place: str) -> bool:
    hosts = place.split(",")
    if user.count(":") > 1 or "@" in user or not all(hosts):
        return False
    if scheme == "mongodb+srv":  # the name service knows hosts and ports
        return len(hosts) == 1 and ":" not in place
    return all(_one(host) for host in hosts)


def _splits(url: str) -> bool:
    try:
        return urlsplit(url) is not None
    except ValueError:
        return False


def address(url: str) -> str:
    """A web address that links and tokens can begin with."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        return "its host or port cannot be read"
    return "" if usable else "expected an address with http:// or https://"


def origin(url: str) -> str:
    """A web address without a path, as browsers name where a page comes from."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "its host or port cannot be read"
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
        return "expected an origin such as https://app.example.com"
    return ""


def rate(text: str) -> str:
    """So many in a period; ``0`` for no limit."""
    if text.strip() == "0":
        return ""
    found = _RATE.fullmatch(text)
    if not found or int(found[1]) == 0:
        return "expected such as 10/minute, 100/15 minutes, or 0 for no limit"
    seconds = int(found[2] or 1) * _SECONDS[found[3]]
    if seconds == 0 or int(found[1]) > _FASTEST * seconds:
        return f"expected at most {_FASTEST} a second, in a period of a second or more"
    return ""
