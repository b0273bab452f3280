"""Cookies that carry credentials, for browsers: how they are written, cleared and read.

None is ever within reach of scripts. In production, and wherever API_URL is https, they are Secure and carry the prefix
that has browsers see to it (RFC 6265bis §4.1.3): ``__Host-`` on the path ``/``, where only this very host can have set
the cookie, ``__Secure-`` on any other. In development over http the names are bare, and names with a prefix mean
nothing; elsewhere bare ones mean nothing.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec
from flask import request

from core.config import BoardSettings, settings
from core.errors import TOKEN_INVALID, Refused
from core.trust.identity import CHALLENGE

LONGEST = 4096  # bytes of name and value together; browsers pass over a longer one in silence

_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+", re.ASCII)


class Cookie(msgspec.Struct, frozen=True):
    """One cookie by its bare name, such as ``pb_refresh``; ``path`` says which requests carry it."""

    name: str
    path: str = "/"
    same_site: Literal["Lax", "Strict"] = "Strict"

    def name_on(self, board: BoardSettings) -> str:
        """What it is called on a board with these settings."""
        if not _secure(board):
            return self.name
        return ("__Host-" if self.path == "/" else "__Secure-") + self.name

    def set(self, value: str, max_age: int) -> str:
        """The ``Set-Cookie`` that keeps ``value`` for ``max_age`` seconds. ``ValueError`` where browsers would not."""
        if not _VALUE.fullmatch(value):
            raise ValueError(f"a value of {self.name} has characters that no cookie may have")
        if len(self.name_on(settings())) + len(value) > LONGEST:
            raise ValueError(f"a value of {self.name} is longer than browsers keep")
        return self._line(value, max_age)

    def clear(self) -> str:
        """The ``Set-Cookie`` that takes it away."""
        return self._line("", 0)

    def given(self) -> str | None:
        """The value that this request carries, if any. ``Refused(TOKEN_INVALID)`` where it carries two.

        A page on a neighbouring host can plant a cookie of the same name beside ours, and which of the two comes first
        is for that page to choose: so neither is believed.
        """
        name = self.name_on(settings())
        found = _values(name)
        if len(found) > 1:
            raise Refused(TOKEN_INVALID, f"the cookie {name} came twice: clear the cookies here", headers=CHALLENGE)
        return (found[0] or None) if found else None

    def _line(self, value: str, max_age: int) -> str:
        board = settings()
        secure = "; Secure" if _secure(board) else ""
        return (
            f"{self.name_on(board)}={value}; Path={self.path}; Max-Age={max_age}{secure}; HttpOnly"
            f"; SameSite={self.same_site}"
        )


# Lax: a link from elsewhere to one of our pages finds its reader signed in. What changes something asks for more.
ACCESS_COOKIE = Cookie("pb_access", same_site="Lax")


def _secure(board: BoardSettings) -> bool:
    return not board.development or board.api_url.lower().startswith("https://")


def _values(name: str) -> list[str]:
    """Every value under exactly this name.

    Read here to the letter, because Werkzeug also strips what Unicode calls white space: a neighbour may set a name
    that begins with such a character, which to the browser has no prefix and afterwards would pass for ours.
    """
    header: str = request.environ.get("HTTP_COOKIE", "")
    start = f"{name}="
    pairs = (pair.strip(" \t") for pair in header.split(";"))
    return [pair.removeprefix(start) for pair in pairs if pair.startswith(start)]
