"""Whether a token is good, for services that are asked by its bearer and cannot tell themselves (RFC 7662).

A caller learns of the tokens of the tenant that it acts in, and of no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from core.data import current_tenant, unit
from core.errors import Refused
from core.trust.identity import read_access_token
from plugins.auth import refresh_tokens
from plugins.auth.schemas import Introspection
from plugins.auth.services import rotation

ACCESS: Final = "access_token"
REFRESH: Final = "refresh_token"
INACTIVE = Introspection(active=False)


def introspect(token: str) -> Introspection:
    """What a good token says; of any other only that it is not. Opens units, and lets 503 pass: that says neither."""
    for kind in KINDS:
        found = kind(token)
        if found is not None:
            return found
    return INACTIVE


def _access_token(token: str) -> Introspection | None:
    try:
        _, claims = read_access_token(token)
    except Refused as refusal:
        if refusal.code.status != 401:
            raise
        return None
    if claims.tid != current_tenant().id:
        return None
    return Introspection(
        active=True,
        token_type=ACCESS,
        iss=claims.iss,
        aud=claims.aud,
        sub=claims.sub,
        sid=claims.sid,
        tid=claims.tid,
        jti=claims.jti,
        iat=claims.iat,
        exp=claims.exp,
    )


def _refresh_token(token: str) -> Introspection | None:
    """The current token of a session that still stands; one that was used is not good any more."""
    try:
        given = refresh_tokens.read(token)
    except Refused:
        return None
    if given.tenant_id != current_tenant().id:
        return None
    with unit():
        session = rotation.current(given)
        if session is None:
            return None
        return Introspection(
            active=True,
            token_type=REFRESH,
            sub=session.user_id,
            sid=session.id,
            tid=given.tenant_id,
            exp=int(session.expires_at.timestamp()),
        )


# Each answers nothing for what is not good, or not of its kind.
KINDS: tuple[Callable[[str], Introspection | None], ...] = (_access_token, _refresh_token)
