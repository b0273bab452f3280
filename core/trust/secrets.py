"""Keys per purpose, out of SECRET_KEYS: sign and verify, seal and open, rotate.

No key is used as it stands. HKDF-SHA256 (RFC 5869) makes one for each purpose and each use, so that what was signed
for one purpose is refused for another. Texts name their key by its id: the first of SECRET_KEYS makes new ones, every
listed key still reads, and dropping a key from the list refuses everything that it made.
"""

from __future__ import annotations

import binascii
import functools
import hmac
import os
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.config import settings

NONCE = 12  # bytes, as AES-GCM wants; random, which is safe for 2^32 texts a key (NIST SP 800-38D, 8.3)


class BadSignature(ValueError):
    """The text was not made by one of our keys for this purpose. Says no more, so that it can be shown and logged."""

    def __init__(self) -> None:
        super().__init__("not made by one of our keys for this purpose")


# -- keys -------------------------------------------------------------------------------------------------------


def derive(purpose: str, length: int = 32, key_index: int = 0) -> bytes:
    """``length`` bytes for ``purpose`` from SECRET_KEYS[key_index]; the same on every process and after a restart."""
    return derive_from(settings().secret_keys[key_index], purpose, length)


def derive_from(secret: str | bytes, purpose: str, length: int = 32) -> bytes:
    """As ``derive``, from a secret that the caller holds."""
    return _derive(_bytes(secret), f"derive\0{_named(purpose)}", length)


def key_id(secret: str | bytes) -> str:
    """Eight hex digits that tell secrets apart and give nothing of them away."""
    return _derive(_bytes(secret), "key id\0", 4).hex()


# Purposes are constants in code and keys are few: the bound only catches a purpose built from data.
@functools.lru_cache(maxsize=512)
def _derive(secret: bytes, info: str, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt=None, info=b"pegboard\0" + info.encode()).derive(secret)


@functools.lru_cache(maxsize=512)
def _cipher(secret: bytes, purpose: str) -> AESGCM:
    return AESGCM(_derive(secret, f"seal\0{purpose}", 32))


def _first() -> bytes:
    return _bytes(settings().secret_keys[0])


def _named_by(identifier: str) -> Iterator[bytes]:
    """The listed secrets with this id: none or one, or, by an accident of 32 bits, two."""
    return (_bytes(secret) for secret in settings().secret_keys if key_id(secret) == identifier)


def _bytes(secret: str | bytes) -> bytes:
    return secret if isinstance(secret, bytes) else secret.encode()


def _named(purpose: str) -> str:
    if not purpose:
        raise ValueError("a key needs a purpose, such as 'auth.setup'")
    return purpose


# -- signing ----------------------------------------------------------------------------------------------------


def sign(purpose: str, data: bytes) -> str:
    """``<key id>.<data>.<HMAC-SHA256>``, the last two in base64url: fit for addresses and headers; data stays readable.

    Nothing in it expires: put a time into ``data`` where one is wanted.
    """
    key = _signer(_first(), purpose)
    body = f"{key.id}.{encode64(data)}"
    return f"{body}.{encode64(key.mac(body))}"


def verify(purpose: str, text: str) -> bytes:
    """The data that ``sign`` was given. Raises ``BadSignature``."""
    body, _, given = text.rpartition(".")
    identifier, _, payload = body.partition(".")
    mac = given.encode("utf-8", "replace")
    for secret in settings().secret_keys:
        key = _signer(_bytes(secret), purpose)
        if key.id == identifier and hmac.compare_digest(encode64(key.mac(body)).encode(), mac):
            return decode64(payload)
    raise BadSignature


class _Signer:
    """A key that signs for one purpose, prepared: hashing the key costs as much as hashing a small text."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        self.id = key_id(secret)
        self._begun = HMAC(_derive(secret, f"sign\0{_named(purpose)}", 32), hashes.SHA256())

    def mac(self, body: str) -> bytes:
        mac = self._begun.copy()
        mac.update(body.encode("utf-8", "replace"))  # surrogates cannot be signed for, only be told from what was
        return mac.finalize()


@functools.lru_cache(maxsize=512)
def _signer(secret: bytes, purpose: str) -> _Signer:
    return _Signer(secret, purpose)


# -- sealing ----------------------------------------------------------------------------------------------------


def seal(purpose: str, data: bytes) -> str:
    """``<key id>.<nonce, ciphertext and tag in base64url>``: AES-256-GCM, bound to ``purpose``."""
    secret, nonce = _first(), os.urandom(NONCE)
    sealed = _cipher(secret, _named(purpose)).encrypt(nonce, data, purpose.encode())
    return f"{key_id(secret)}.{encode64(nonce + sealed)}"


def open_sealed(purpose: str, text: str) -> bytes:
    """The data that ``seal`` was given. Raises ``BadSignature``."""
    identifier, _, payload = text.partition(".")
    box = decode64(payload)
    for secret in _named_by(identifier):
        try:
            return _cipher(secret, _named(purpose)).decrypt(box[:NONCE], box[NONCE:], purpose.encode())
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            continue
    raise BadSignature


def reseal(purpose: str, text: str) -> str:
    """The same data under the first key; the text itself where it is so already. Raises ``BadSignature``."""
    data = open_sealed(purpose, text)
    return text if text.startswith(f"{key_id(_first())}.") else seal(purpose, data)


# -- base64url --------------------------------------------------------------------------------------------------


def encode64(data: bytes) -> str:
    """base64url without padding (RFC 4648, 5)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode()


def decode64(text: str) -> bytes:
    """Reads only what ``encode64`` writes: no padding, no whitespace, no stray bits at the end. ``BadSignature``."""
    try:
        data = binascii.a2b_base64(text.encode().translate(_FROM_URL) + b"=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        raise BadSignature from None
    if encode64(data) != text:
        raise BadSignature
    return data


_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
