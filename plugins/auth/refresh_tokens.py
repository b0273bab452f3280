"""Refresh tokens: ``pbr1.<tenant>.<session>.<counter>.<key id>.<HMAC>``.

A token says which session it belongs to and which of the session's tokens it is, and is signed. The row keeps the
counter alone, so a table that leaks lets nobody in, and the current token can be made again for a client that never
heard the answer. The HMAC (SHA-256, base64url) covers everything before its dot; its key is derived from SECRET_KEYS
for this purpose alone: the first signs, the others still verify.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import NamedTuple
from uuid import UUID

from core.config import settings
from core.errors import TOKEN_INVALID, Refused
from core.trust import secrets

PURPOSE = "refresh-token"
LONGEST = 200
_TOKEN = re.compile(
    r"(pbr1\.([0-9a-f]{32})\.([0-9a-f]{32})\.([1-9][0-9]{0,17})\.([0-9a-f]{8}))\.([A-Za-z0-9_-]{43})", re.ASCII
)


class RefreshToken(NamedTuple):
    """What a token says, once its signature is known to be ours."""

    tenant_id: UUID
    session_id: UUID
    counter: int


def mint(token: RefreshToken) -> str:
    body = f"pbr1.{token.tenant_id.hex}.{token.session_id.hex}.{token.counter}.{_key_id(0)}"
    return f"{body}.{secrets.encode64(_mac(0, body))}"


def read(text: str) -> RefreshToken:
    """What the token says; ``Refused(TOKEN_INVALID)`` for anything that we never signed. Asks no store."""
    found = _TOKEN.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        raise Refused(TOKEN_INVALID)
    body, tenant, session, counter, key_id, signature = found.groups()
    try:
        given = secrets.decode64(signature)
    except secrets.BadSignature:
        raise Refused(TOKEN_INVALID) from None
    keys = (index for index in range(len(settings().secret_keys)) if _key_id(index) == key_id)
    if not any(hmac.compare_digest(_mac(index, body), given) for index in keys):
        raise Refused(TOKEN_INVALID)
    return RefreshToken(UUID(tenant), UUID(session), int(counter))


def _key_id(index: int) -> str:
    return secrets.key_id(settings().secret_keys[index])


def _mac(index: int, body: str) -> bytes:
    return hmac.digest(secrets.derive(PURPOSE, key_index=index), body.encode(), hashlib.sha256)
