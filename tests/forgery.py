"""Keys, and tokens signed with them that no board would make."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from flask import Flask
from jwt import get_algorithm_by_name

from core.data.tenancy import DEFAULT

MAKERS = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@functools.cache
def private_key(algorithm: str, which: int = 0) -> Any:
    """A key for an algorithm, the same for the same ``which``."""
    return MAKERS[algorithm]()


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    text: str = key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    return text


def public_pem(key: Any) -> bytes:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text


def encode(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def seal(header: Any, claims: Any, algorithm: str, key: Any) -> str:
    """A compact JWS over whatever is given, signed by the algorithm, and not by the one that the header names."""
    body = f"{encode(header)}.{encode(claims)}"
    if isinstance(key, bytes):  # by hand: the library refuses the keys of confused verifiers
        digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
        return f"{body}.{encode(hmac.new(key, body.encode(), digest).digest())}"
    return f"{body}.{encode(get_algorithm_by_name(algorithm).sign(body.encode(), key))}"


class Forger:
    """Signs with the board's key for ``algorithm``; ``claims`` are those of somebody who is there."""

    def __init__(self, app: Flask, algorithm: str = "HS256", **claims: Any) -> None:
        keys = app.extensions["pegboard.access_keys"].values()
        self.key = next(key for key in keys if key.algorithm == algorithm)
        self.algorithm = algorithm
        now = int(time.time())
        self.header: dict[str, Any] = {"alg": algorithm, "typ": "at+jwt", "kid": self.key.kid}
        self.claims: dict[str, Any] = {
            "iss": app.config["JWT_ENCODE_ISSUER"],
            "aud": "pegboard",
            "sub": str(uuid4()),
            "sid": str(uuid4()),
            "tid": str(DEFAULT.id),
            "jti": "j",
            "iat": now,
            "exp": now + 60,
            "type": "access",
            "fresh": False,
            **claims,
        }

    def token(self, header: dict[str, Any] | bytes | None = None, claims: Any = None, **signed: Any) -> str:
        """With some of the header or the claims changed or (``None``) left out, or as other bytes altogether.

        ``key`` and ``algorithm`` sign with something else.
        """
        return seal(
            _changed(self.header, header),
            _changed(self.claims, claims),
            signed.get("algorithm", self.algorithm),
            signed.get("key", self.key.signs),
        )


def _changed(part: dict[str, Any], changes: Any) -> Any:
    if changes is not None and not isinstance(changes, dict):
        return changes
    return {name: value for name, value in {**part, **(changes or {})}.items() if value is not None}
