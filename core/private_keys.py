"""``JWT_PRIVATE_KEYS``: PEM private keys in one variable, one after another; each signs by one algorithm only.

Line breaks may be real, or the two characters ``\\n`` of platforms that take one line. What is wrong with a key is said
by its place in the list and its kind; nothing of the text is repeated.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

SMALLEST_RSA, LARGEST_RSA = 2048, 8192
KINDS = f"RSA of at least {SMALLEST_RSA} bits, EC on P-256, or Ed25519"

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
# What some tools write before an EC key; the key names its curve itself.
_PASSED_OVER = "EC PARAMETERS"


class PrivateKey(NamedTuple):
    """``algorithm`` is the JWA name of the one that the key may be used with."""

    algorithm: str
    key: Any

    def __repr__(self) -> str:
        return f"PrivateKey({self.algorithm}, …)"


def unfolded(text: str) -> str:
    """The text with real line breaks."""
    return text.replace("\\r", "").replace("\\n", "\n").replace("\r", "")


def read(text: str) -> tuple[PrivateKey, ...]:
    """Every key, in order. ``ValueError`` with the faults as its arguments, one line each."""
    keys, faults = _read(text)
    if faults:
        raise ValueError(*faults)
    return keys


def faults(text: str) -> tuple[str, ...]:
    return _read(text)[1]


# The boot asks for the faults, then for the keys; checking the primes of one large RSA key takes a tenth of a second.
@functools.lru_cache(maxsize=4)
def _read(text: str) -> tuple[tuple[PrivateKey, ...], tuple[str, ...]]:
    text = unfolded(text)
    blocks = [found for found in _BLOCK.finditer(text) if found[1] != _PASSED_OVER]
    if not blocks or _BLOCK.sub("", text).strip():
        return (), ("expected PEM private keys, one after another and nothing else; it is not shown here",)
    keys: list[PrivateKey] = []
    told: list[str] = []
    for number, block in enumerate(blocks, 1):
        try:
            keys.append(_key(block[1], block[0]))
        except ValueError as exc:
            told.append(f"key {number} of {len(blocks)} {exc}")
    if not told and len({_public(each.key) for each in keys}) < len(keys):
        told.append("the same key stands there twice")
    return tuple(keys), tuple(told)


def _key(label: str, pem: str) -> PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if "PRIVATE KEY" not in label:
        raise ValueError(f"is a {label.lower()}, and not a private key")
    if "ENCRYPTED" in pem:
        raise ValueError("is encrypted with a passphrase: store it without one")
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # whose words may quote what they could not read
        raise ValueError(f"cannot be read: expected {KINDS}") from None
    if isinstance(key, rsa.RSAPrivateKey):
        if not SMALLEST_RSA <= key.key_size <= LARGEST_RSA:
            strength = "too weak" if key.key_size < SMALLEST_RSA else "too large"
            raise ValueError(f"is {strength}: RSA of {key.key_size} bits, {SMALLEST_RSA} to {LARGEST_RSA} are accepted")
        return PrivateKey("RS256", key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return PrivateKey("ES256", key)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return PrivateKey("EdDSA", key)
    raise ValueError(f"is of another kind than {KINDS}")


def _public(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return raw
