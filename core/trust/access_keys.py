"""The keys of access tokens: which one signs, which ones verify, and what is published of them.

The first of ``JWT_PRIVATE_KEYS`` signs; without any, ``JWT_ACCESS_SECRET`` does, or a key derived from the first of
``SECRET_KEYS``. All of them verify, so that a token outlives a change of keys. A key has one algorithm, and only that:
whoever holds a public key can therefore do nothing with it but verify.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from core import private_keys
from core.config import BoardSettings
from core.trust import secrets

SHARED = "HS256"
P256_BYTES = 32


@dataclass(frozen=True, slots=True, eq=False)
class AccessKey:
    """One key, prepared: ``signs`` and ``verifies`` are what the engine takes. ``public`` is its JWK, if it has one."""

    kid: str
    algorithm: str
    signs: Any = field(repr=False)
    verifies: Any = field(repr=False)
    public: Mapping[str, str] | None = None


def load(board: BoardSettings) -> dict[str, AccessKey]:
    """Every key by its ``kid``, the one that signs first."""
    return {key.kid: key for key in (*_private(board), *_shared(board))}


def published(keys: Mapping[str, AccessKey]) -> list[Mapping[str, str]]:
    """The public keys, as a JWK Set lists them (RFC 7517)."""
    return [key.public for key in keys.values() if key.public is not None]


def _private(board: BoardSettings) -> Iterator[AccessKey]:
    if not board.jwt_private_keys:
        return
    for algorithm, key in private_keys.read(board.jwt_private_keys):
        members = _members(key.public_key())
        kid = thumbprint(members)
        yield AccessKey(kid, algorithm, key, key.public_key(), {**members, "kid": kid, "alg": algorithm, "use": "sig"})


def _shared(board: BoardSettings) -> Iterator[AccessKey]:
    material = [secrets.derive_from(key, "access-token") for key in board.secret_keys]
    if board.jwt_access_secret:
        material.insert(0, board.jwt_access_secret.encode())
    for key in material:
        yield AccessKey(secrets.key_id(key), SHARED, key, key)


def thumbprint(members: Mapping[str, str]) -> str:
    """RFC 7638: the same for whoever computes it from the public key, whatever it is stored in."""
    canonical = msgspec.json.encode(dict(sorted(members.items())))
    return secrets.encode64(hashlib.sha256(canonical).digest())


def _members(key: Any) -> dict[str, str]:
    """What makes up a public key as a JWK, and nothing else (RFC 7518, 6; RFC 8037, 2)."""
    if isinstance(key, RSAPublicKey):
        rsa = key.public_numbers()
        return {"kty": "RSA", "n": _number(rsa.n), "e": _number(rsa.e)}
    if isinstance(key, EllipticCurvePublicKey):
        point = key.public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": _number(point.x, P256_BYTES), "y": _number(point.y, P256_BYTES)}
    return {"kty": "OKP", "crv": "Ed25519", "x": secrets.encode64(key.public_bytes_raw())}


def _number(value: int, length: int = 0) -> str:
    return secrets.encode64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))
