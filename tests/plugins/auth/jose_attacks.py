"""What has been tried upon verifiers of tokens elsewhere, each by name: a token that must be refused.

Here the attacks on signatures and keys; ``jose_contents`` has those on what a token says and how it is written.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from forgery import Forger, encode, private_key, public_pem

Forgers = dict[str, Forger]
Attack = Callable[[Forgers], str]

ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    def keep(function: Attack) -> Attack:
        assert ATTACKS.setdefault(name, function) is function, name
        return function

    return keep


def with_more(part: dict[str, Any], more: str) -> bytes:
    """The part as JSON with one more member at its end, as it stands."""
    return f"{json.dumps(part)[:-1]}, {more}}}".encode()


# -- no signature -------------------------------------------------------------------------------------------------

for spelling in ("none", "None", "NONE", "nOnE", ""):

    @attack(f"alg {spelling!r} without a signature")
    def _(by: Forgers, spelling: str = spelling) -> str:
        return by["RS256"].token({"alg": spelling}).rpartition(".")[0] + "."

    @attack(f"alg {spelling!r} with the right signature")
    def _(by: Forgers, spelling: str = spelling) -> str:
        return by["RS256"].token({"alg": spelling})


@attack("no signature")
def _(by: Forgers) -> str:
    return by["RS256"].token().rpartition(".")[0] + "."


@attack("the signature of another token")
def _(by: Forgers) -> str:
    mine, other = by["RS256"].token().split("."), by["RS256"].token(claims={"jti": "other"}).split(".")
    return ".".join((*mine[:2], other[2]))


@attack("ES256 with r and s of 0 (CVE-2022-21449)")
def _(by: Forgers) -> str:
    return by["ES256"].token().rpartition(".")[0] + f".{encode(bytes(64))}"


@attack("ES256 with r and s of the group's order")
def _(by: Forgers) -> str:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return by["ES256"].token().rpartition(".")[0] + f".{encode(order.to_bytes(32, 'big') * 2)}"


@attack("ES256 with a DER signature")
def _(by: Forgers) -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    body = by["ES256"].token().rpartition(".")[0]
    return f"{body}.{encode(by['ES256'].key.signs.sign(body.encode(), ECDSA(SHA256())))}"


@attack("ES256 with a shortened signature")
def _(by: Forgers) -> str:
    return by["ES256"].token().rpartition(".")[0] + f".{encode(bytes(63))}"


@attack("EdDSA with a signature of 0")
def _(by: Forgers) -> str:
    return by["EdDSA"].token().rpartition(".")[0] + f".{encode(bytes(64))}"


@attack("RS256 with a signature of 1")
def _(by: Forgers) -> str:
    return by["RS256"].token().rpartition(".")[0] + f".{encode(bytes(255) + bytes([1]))}"


# -- one key, another algorithm -----------------------------------------------------------------------------------


def _public_forms(by: Forgers, algorithm: str) -> Iterator[tuple[str, bytes]]:
    key = by[algorithm].key
    yield "PEM", public_pem(key.signs)
    yield "PEM without its last line break", public_pem(key.signs).strip()
    yield "DER", key.verifies.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    yield "JWK", json.dumps(dict(key.public)).encode()
    yield "JWK without spaces", json.dumps(dict(key.public), separators=(",", ":")).encode()


for algorithm in ("RS256", "ES256", "EdDSA"):
    for form in ("PEM", "PEM without its last line break", "DER", "JWK", "JWK without spaces"):

        @attack(f"HS256 with the public {algorithm} key as secret: {form}")
        def _(by: Forgers, algorithm: str = algorithm, form: str = form) -> str:
            secret = dict(_public_forms(by, algorithm))[form]
            return by[algorithm].token({"alg": "HS256"}, key=secret, algorithm="HS256")

    @attack(f"HS256 with the public {algorithm} key as secret and {algorithm} in the header")
    def _(by: Forgers, algorithm: str = algorithm) -> str:
        return by[algorithm].token(key=public_pem(by[algorithm].key.signs), algorithm="HS256")

    @attack(f"{algorithm} under the kid of the shared key")
    def _(by: Forgers, algorithm: str = algorithm) -> str:
        return by[algorithm].token({"kid": by["HS256"].key.kid})

    @attack(f"HS256 with the shared key under the kid of {algorithm}")
    def _(by: Forgers, algorithm: str = algorithm) -> str:
        return by["HS256"].token({"kid": by[algorithm].key.kid})

    @attack(f"{algorithm} by a retired key, under its own kid")
    def _(by: Forgers, algorithm: str = algorithm) -> str:
        return by[algorithm].token({"kid": "retired"}, key=private_key(algorithm, which=99))

    @attack(f"{algorithm} by a stranger's key under our kid")
    def _(by: Forgers, algorithm: str = algorithm) -> str:
        return by[algorithm].token(key=private_key(algorithm, which=99))


@attack("HS256 with the PKCS 1 form of the RSA key as secret")
def _(by: Forgers) -> str:
    secret = by["RS256"].key.verifies.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    return by["RS256"].token({"alg": "HS256"}, key=secret, algorithm="HS256")


@attack("HS256 with the raw Ed25519 key as secret")
def _(by: Forgers) -> str:
    return by["EdDSA"].token({"alg": "HS256"}, key=by["EdDSA"].key.verifies.public_bytes_raw(), algorithm="HS256")


for other in ("RS384", "RS512", "PS256", "PS512"):

    @attack(f"{other} by our own RSA key")
    def _(by: Forgers, other: str = other) -> str:
        return by["RS256"].token({"alg": other}, algorithm=other)


for other in ("HS384", "HS512"):

    @attack(f"{other} by our own shared key")
    def _(by: Forgers, other: str = other) -> str:
        return by["HS256"].token({"alg": other}, algorithm=other)


for header in ({"alg": "rs256"}, {"alg": ["RS256"]}, {"alg": "null"}, {"alg": 5}):

    @attack(f"a header with {header}")
    def _(by: Forgers, header: dict[str, Any] = header) -> str:
        return by["RS256"].token(header)


# -- the key that a token would choose ----------------------------------------------------------------------------

KIDS: dict[str, Any] = {
    "a path": "../../../../../../dev/null",
    "a file of ours": "/proc/self/environ",
    "SQL": "x' UNION SELECT 'key",
    "a command": "|/usr/bin/true",
    "nothing": "",
    "a list": ["HS256"],
    "an object": {"kid": "x"},
    "a number": 0,
    "true": True,
    "unknown": "unknown",
    "a NUL": "x\0",
}
for what, kid in KIDS.items():
    for secret in (b"", b"key"):

        @attack(f"kid is {what}, signed with {secret!r}")
        def _(by: Forgers, kid: Any = kid, secret: bytes = secret) -> str:
            return by["HS256"].token({"kid": kid}, key=secret)


@attack("kid is null")
def _(by: Forgers) -> str:
    return by["HS256"].token(with_more({"alg": "HS256", "typ": "at+jwt"}, '"kid": null'))


@attack("no kid")
def _(by: Forgers) -> str:
    return by["HS256"].token({"kid": None})


@attack("our kid with a NUL after it")
def _(by: Forgers) -> str:
    return by["HS256"].token({"kid": f"{by['HS256'].key.kid}\0"})


def _offers() -> dict[str, Any]:
    stranger = private_key("ES256", which=99)
    numbers = stranger.public_key().public_numbers()
    x, y = (encode(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y))
    certificate = base64.b64encode(stranger.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return {
        "jku": "https://elsewhere.example.com/jwks.json",
        "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y},
        "x5u": "https://elsewhere.example.com/certificate.pem",
        "x5c": [certificate.decode()],
        "x5t#S256": encode(bytes(32)),
    }


for name, offer in _offers().items():

    @attack(f"{name} offers the key that signed")
    def _(by: Forgers, name: str = name, offer: Any = offer) -> str:
        stranger = private_key("ES256", which=99)
        return by["ES256"].token({name: offer, "kid": "theirs"}, key=stranger)

    @attack(f"{name} offers the key that signed, under our kid")
    def _(by: Forgers, name: str = name, offer: Any = offer) -> str:
        return by["ES256"].token({name: offer}, key=private_key("ES256", which=99))

    @attack(f"{name} in a token that we signed")
    def _(by: Forgers, name: str = name, offer: Any = offer) -> str:
        return by["ES256"].token({name: offer})


for crit in (["exp"], ["b64"], [], ["http://example.com/unknown"]):

    @attack(f"crit {crit}")
    def _(by: Forgers, crit: list[str] = crit) -> str:
        return by["RS256"].token({"crit": crit})


@attack("crit b64 with a payload that is not encoded")
def _(by: Forgers) -> str:
    return by["RS256"].token({"crit": ["b64"], "b64": False})


@attack("compressed")
def _(by: Forgers) -> str:
    return by["RS256"].token({"zip": "DEF"})
