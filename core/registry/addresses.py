"""Whose an address is: the words that the board keeps, and what a public path may look like."""

from __future__ import annotations

import re

KEPT = frozenset(
    {
        *("api", "console", "docs", "internal", "static", "ws"),
        *("asyncapi.json", "livez", "metrics", "openapi.json", "readyz"),
    }
)
"""First words of addresses that no plugin may have."""


def first_word(path: str) -> str:
    return path.split("/")[1]


def path_cure(path: str) -> str:
    """What to do about a public path that no plugin may have; empty for one that it may."""
    if not path.startswith("/") or first_word(path) in KEPT:
        return "begin it with / and a word that the board does not keep for itself"
    if "//" in path or re.search(r"[\s?#]", path):
        return "write it as /word/word, with single slashes, and without spaces, ? and #"
    return ""
