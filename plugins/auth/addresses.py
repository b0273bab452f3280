"""E-mail addresses in one form, so that one mailbox is one account."""

from __future__ import annotations

import re
import unicodedata

import idna

LONGEST = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
LONGEST_LOCAL = 64  # RFC 5321, 4.5.3.1.1, in octets
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")  # RFC 5322, dot-atom
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def normalise(text: str) -> str:
    """The address in NFKC and lower case, its domain in ASCII (IDNA 2008, UTS 46); ``ValueError`` says what is wrong.

    Case in the local part is dropped although RFC 5321 lets it matter: nobody's mail depends on it, and two
    accounts that differ in case alone are a trap. Refused are quoted local parts and address literals, and local
    parts beyond ASCII, which most mail servers carry nowhere and which look like other people's.
    """
    if len(text) > LONGEST:
        raise ValueError(f"an address has at most {LONGEST} characters")
    local, _, domain = unicodedata.normalize("NFKC", text.strip()).rpartition("@")
    local = local.lower()
    if not _LOCAL.fullmatch(local):
        raise ValueError("expected an address such as alice@example.com")
    if len(local) > LONGEST_LOCAL:
        raise ValueError(f"the part before the @ has at most {LONGEST_LOCAL} characters")
    address = f"{local}@{_ascii_domain(domain)}"
    if len(address) > LONGEST:
        raise ValueError(f"an address has at most {LONGEST} characters")
    return address


def _ascii_domain(domain: str) -> str:
    # The standard library's codec is IDNA 2003, which takes faß.de for fass.de: somebody else's domain.
    try:
        labels = idna.encode(domain, uts46=True, transitional=False).decode("ascii").split(".")
    except (idna.IDNAError, UnicodeError):
        labels = []
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the part after the @ is not the name of a domain")
    return ".".join(labels)
