"""More attacks: on what a token says, and on how it is written.

They are signed with the board's own key, so that nothing but what is wrong with them can refuse them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from forgery import pem, private_key, seal
from jose_attacks import Forgers, attack, with_more

CLAIMS = ("iss", "aud", "sub", "sid", "tid", "jti", "iat", "exp", "type")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
TOMORROW = int(time.time()) + 86_400

# -- what it says -------------------------------------------------------------------------------------------------

WRONG: dict[str, dict[str, Any]] = {
    "not yet valid by nbf": {"nbf": TOMORROW},
    "not yet valid by iat": {"iat": TOMORROW, "exp": TOMORROW + 60},
    "the audience of another": {"aud": "other"},
    "several audiences": {"aud": ["pegboard", "other"]},
    "our audience in a list": {"aud": ["pegboard"]},
    "an audience in capitals": {"aud": "Pegboard"},
    "the issuer of another": {"iss": "https://elsewhere.example.com"},
    "issuers in a list": {"iss": ["http://127.0.0.1:8000"]},
    "an issuer that ours begins": {"iss": "http://127.0.0.1:8000.elsewhere.example.com"},
    "a refresh token by its claim": {"type": "refresh"},
    "a subject that is no id": {"sub": "admin"},
    "a subject that is a number": {"sub": 1},
    "a session that is no id": {"sid": "1 OR 1=1"},
    "a tenant that is no id": {"tid": "default"},
    "a tenant in a list": {"tid": ["00000000-0000-7000-8000-000000000001"]},
    "jti is a number": {"jti": 7},
    "jti is empty": {"jti": ""},
    "a NUL in jti": {"jti": "j\0"},
    "a line break in jti": {"jti": "j\n"},
    "exp is a text": {"exp": "9999999999"},
    "exp is true": {"exp": True},
    "exp is a list": {"exp": [9999999999]},
    "exp has a fraction": {"exp": 9999999999.5},
    "iat is a text": {"iat": "1"},
    "iat is an object": {"iat": {}},
    "nbf is a text": {"nbf": "1"},
    "nbf is true": {"nbf": True},
    "type is a list": {"type": ["access"]},
}
for name, claims in WRONG.items():

    @attack(name)
    def _(by: Forgers, claims: dict[str, Any] = claims) -> str:
        return by["RS256"].token(claims=claims)


for claim in CLAIMS:

    @attack(f"without {claim}")
    def _(by: Forgers, claim: str = claim) -> str:
        return by["RS256"].token(claims={claim: None})

    @attack(f"{claim} is null")
    def _(by: Forgers, claim: str = claim) -> str:
        rest = {name: value for name, value in by["RS256"].claims.items() if name != claim}
        return by["RS256"].token(claims=with_more(rest, f'"{claim}": null'))

    @attack(f"{claim} twice")
    def _(by: Forgers, claim: str = claim) -> str:
        said = by["RS256"].claims
        return by["RS256"].token(claims=with_more(said, f'"{claim}": {json.dumps(said[claim])}'))


@attack("sub twice, once with an escape in its name")
def _(by: Forgers) -> str:
    return by["RS256"].token(claims=with_more(by["RS256"].claims, rf'"\u0073ub": "{by["RS256"].claims["sub"]}"'))


@attack("a name twice further inside")
def _(by: Forgers) -> str:
    return by["RS256"].token(claims=with_more(by["RS256"].claims, '"x": [{"role": "user", "role": "admin"}]'))


for member in ("alg", "typ", "kid"):

    @attack(f"{member} twice in the header")
    def _(by: Forgers, member: str = member) -> str:
        header = by["RS256"].header
        return by["RS256"].token(with_more(header, f'"{member}": {json.dumps(header[member])}'))


@attack("expired under a broken signature")
def _(by: Forgers) -> str:
    return by["RS256"].token(claims={"exp": 1}, key=private_key("RS256", which=99))


for typ in ("JWT", "refresh+jwt", "rt+jwt", "AT+JWT", "", None, ["at+jwt"]):

    @attack(f"typ is {typ!r}")
    def _(by: Forgers, typ: Any = typ) -> str:
        return by["RS256"].token({"typ": typ})


BYTES: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "half an object": b'{"iss":',
    "no UTF-8": b'{"iss":"\xff"}',
    "UTF-16": '{"iss":"x"}'.encode("utf-16"),
    "brackets without end": b"[" * 2000,
    "nested deep": b'{"x":' * 290 + b"1" + b"}" * 290,
}
for what, raw in BYTES.items():

    @attack(f"claims are {what}")
    def _(by: Forgers, raw: bytes = raw) -> str:
        return by["ES256"].token(claims=raw)

    @attack(f"the header is {what}")
    def _(by: Forgers, raw: bytes = raw) -> str:
        return by["ES256"].token(raw)


@attack("something after the claims")
def _(by: Forgers) -> str:
    return by["RS256"].token(claims=json.dumps(by["RS256"].claims).encode() + b" {}")


@attack("NaN among the claims")
def _(by: Forgers) -> str:
    return by["RS256"].token(claims=with_more(by["RS256"].claims, '"x": NaN'))


# -- how it is written --------------------------------------------------------------------------------------------


def _sloppy(part: str) -> str:
    """The same bytes with other bits in what the last letter has to spare."""
    return part[:-1] + LETTERS[LETTERS.index(part[-1]) + 1]


SPELLINGS: dict[str, Callable[[list[str]], str]] = {
    "padding": lambda parts: ".".join(parts) + "==",
    "padding of the header": lambda parts: f"{parts[0]}=.{parts[1]}.{parts[2]}",
    "padding of the claims": lambda parts: f"{parts[0]}.{parts[1]}=.{parts[2]}",
    "a line break after it": lambda parts: ".".join(parts) + "\n",
    "a line break in the claims": lambda parts: f"{parts[0]}.{parts[1][:9]}\n{parts[1][9:]}.{parts[2]}",
    "a space before it": lambda parts: " " + ".".join(parts),
    "a space in the signature": lambda parts: f"{parts[0]}.{parts[1]}.{parts[2][:9]} {parts[2][9:]}",
    "a tab in the header": lambda parts: f"{parts[0][:9]}\t{parts[0][9:]}.{parts[1]}.{parts[2]}",
    "stray bits in the signature": lambda parts: f"{parts[0]}.{parts[1]}.{_sloppy(parts[2])}",
    "the other alphabet": lambda parts: ".".join((*parts[:2], "+" + parts[2][1:])),
    "a letter of no alphabet": lambda parts: f"{parts[0]}.{parts[1]}.{parts[2]}!",
    "a NUL after it": lambda parts: ".".join(parts) + "\0",
    "a NUL in it": lambda parts: f"{parts[0]}.\0{parts[1]}.{parts[2]}",
    "letters of other scripts": lambda parts: ".".join(("\xe9", *parts[1:])),
    "digits of other scripts": lambda parts: ".".join((*parts[:2], parts[2] + "\xb2")),
    "two parts": lambda parts: ".".join(parts[:2]),
    "four parts": lambda parts: ".".join((*parts, "x")),
    "five parts, as if encrypted": lambda parts: ".".join((*parts, "x", "x")),
    "no claims": lambda parts: f"{parts[0]}..{parts[2]}",
    "as JSON": lambda parts: json.dumps(dict(zip(("protected", "payload", "signature"), parts, strict=True))),
    "quoted": lambda parts: f'"{".".join(parts)}"',
    "two tokens": lambda parts: ", ".join((".".join(parts), ".".join(parts))),
}
for name, spell in SPELLINGS.items():

    @attack(f"spelled with {name}")
    def _(by: Forgers, spell: Callable[[list[str]], str] = spell) -> str:
        return spell(by["RS256"].token().split("."))


@attack("oversized")
def _(by: Forgers) -> str:
    return by["RS256"].token(claims={"x": "x" * 4000})


@attack("no token at all")
def _(by: Forgers) -> str:
    return "x"


@attack("a private key")
def _(by: Forgers) -> str:
    return pem(private_key("RS256", which=99)).replace("\n", "")


@attack("signed once more, around a good one")
def _(by: Forgers) -> str:
    return seal(by["RS256"].header, by["RS256"].token().encode(), "RS256", by["RS256"].key.signs)
