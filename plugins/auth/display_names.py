"""Display names: one line of characters that can be seen."""

from __future__ import annotations

import unicodedata


def presentable(name: str) -> str:
    """The name without spaces around it; ``ValueError`` for one that is empty, or could break a line in a list."""
    name = name.strip()
    if not any(_visible(char) for char in name) or any(_unfit(char) for char in name):
        raise ValueError("a name is one line of visible characters")
    return name


# Fillers, which are letters by their category and blank to the eye.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Joiners, without which Persian and the languages of India cannot be written.
_JOINERS = frozenset("\u200c\u200d")


def _visible(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNPS" and char not in _BLANK


def _unfit(char: str) -> bool:
    """Breaks a line, turns the reading direction round, or is nothing at all."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _JOINERS
