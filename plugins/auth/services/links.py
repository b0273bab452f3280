"""Links that let somebody in once: a token is mailed or printed, its digest kept, and redeeming it uses it up.

The token names its tenant, because nothing else about the redeeming request does; its digest covers the name.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.config import settings
from core.data import current_tenant, db, utcnow
from core.errors import Refused
from plugins.auth.api import LINK_INVALID
from plugins.auth.models import Link
from plugins.auth.services import sessions

SETUP, RESET, EMAIL, INVITE, VERIFY = "setup", "reset", "email", "invite", "verify"

LIFETIMES = {
    RESET: timedelta(hours=1),
    EMAIL: timedelta(hours=1),
    VERIFY: timedelta(hours=24),
    INVITE: timedelta(days=7),
}

_TOKEN = re.compile(r"pbl1\.([0-9a-f]{32})\.[A-Za-z0-9_-]{43}", re.ASCII)


def new_token() -> str:
    return f"pbl1.{current_tenant().id.hex}.{secrets.token_urlsafe(32)}"


def digest_of(token: str) -> bytes:
    """Plain SHA-256: the token is 256 random bits, which no dictionary holds."""
    return hashlib.sha256(token.encode()).digest()


def address(purpose: str, token: str) -> str:
    """Where the link leads. The token is in the fragment, which browsers send to no server."""
    return f"{settings().front_url}/auth/{purpose}#token={token}"


def make(user_id: UUID, purpose: str, lifetime: timedelta | None = None, **details: Any) -> str:
    """A token for somebody, in the current unit; earlier ones for the same purpose die."""
    token = new_token()
    _replace(user_id, purpose, token, lifetime, details)
    return token


def reserve(user_id: UUID, purpose: str, **details: Any) -> Link:
    """A link whose token nobody has yet, until ``renew``; earlier ones for the same purpose die."""
    link = _replace(user_id, purpose, new_token(), None, details)
    db.session.flush()
    return link


def renew(link: Link) -> str:
    """Another token for a link; what it had before is worth nothing."""
    token = new_token()
    link.digest = digest_of(token)
    return token


def _replace(user_id: UUID, purpose: str, token: str, lifetime: timedelta | None, details: dict[str, Any]) -> Link:
    forget(user_id, purpose)
    link = Link(
        user_id=user_id,
        purpose=purpose,
        digest=digest_of(token),
        details=details,
        expires_at=utcnow() + (lifetime or LIFETIMES[purpose]),
    )
    db.session.add(link)
    return link


def forget(user_id: UUID, *purposes: str) -> None:
    """Make somebody's links worthless: those for these purposes, or all."""
    dead = sa.delete(Link).where(Link.user_id == user_id)
    db.session.execute(dead.where(Link.purpose.in_(purposes)) if purposes else dead)


def find(token: str, *purposes: str) -> Link:
    """The live link of a token. ``Refused(LINK_INVALID)``."""
    query = sa.select(Link).where(Link.digest == digest_of(token), Link.purpose.in_(purposes))
    link = db.session.scalars(query, execution_options={"populate_existing": True}).one_or_none()
    if link is None or link.used_at is not None or link.expires_at <= utcnow():
        raise Refused(LINK_INVALID)
    return link


def use(token: str, *purposes: str) -> Link:
    """``find``, and use it up: of several attempts one succeeds, for the user's row is locked until the unit ends.

    Their row, as everybody does who touches their links: whoever locked a link first would wait for one who waits.
    """
    sessions.locked(find(token, *purposes).user_id, gone=LINK_INVALID)
    link = find(token, *purposes)
    link.used_at = utcnow()
    return link


def tenant_id_in(token: str) -> UUID:
    """The tenant that a token names, whether or not the token is good. ``Refused(LINK_INVALID)``."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise Refused(LINK_INVALID)
    return UUID(found[1])
