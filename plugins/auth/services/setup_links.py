"""The first administrator: a link, printed by a command, that sets a password and gives a role, once.

The token names its tenant, because nothing else about the redeeming request does; its digest covers the name.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import closing
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from core.contracts import Authorizer, service
from core.data import current_tenant, db, new_id, unit, utcnow
from core.errors import Refused
from core.registry import settings_of
from core.trust import record
from plugins.auth.api import LINK_INVALID
from plugins.auth.models import Link, User
from plugins.auth.passwords import hashed
from plugins.auth.schemas import SignedIn
from plugins.auth.services import sessions
from plugins.auth.services.accounts import signed_in
from plugins.auth.services.people import acceptable, add, find

PURPOSE = "setup"
_TOKEN = re.compile(r"pbl1\.([0-9a-f]{32})\.[A-Za-z0-9_-]{43}", re.ASCII)


def make_link(email: str, role: str) -> str:
    """A token that makes ``email`` a holder of ``role`` here; earlier ones for it die. Opens a unit."""
    address = acceptable(email)
    token = f"pbl1.{current_tenant().id.hex}.{secrets.token_urlsafe(32)}"
    with unit():
        user = find(address)
        if user is None:
            user = User(email=address, display_name=address.partition("@")[0])
            add(user)
        db.session.execute(sa.delete(Link).where(Link.user_id == user.id, Link.purpose == PURPOSE))
        expires = utcnow() + timedelta(seconds=settings_of("auth").setup_link_seconds)
        db.session.add(
            Link(user_id=user.id, purpose=PURPOSE, digest=_digest(token), details={"role": role}, expires_at=expires)
        )
        record("auth.setup_link_made", kind="user", id=user.id, after={"role": role})
    return token


def redeem(token: str, password: str) -> SignedIn:
    """Set the password, give the role and sign in. ``Refused(LINK_INVALID)`` for a token that is not good any more.

    Looks first, for garbage is not worth a hash; then hashes; then takes the link under a lock, so that of
    several attempts one succeeds.
    """
    with unit():
        _live_link(token)
    digest = hashed(password)
    session_id = new_id()
    with unit():
        link = _live_link(token)
        link.used_at = utcnow()
        user = db.session.get_one(User, link.user_id)
        user.password_hash, user.active, user.first_session = digest, True, session_id
        sessions.changed(user)
        service(Authorizer).assign(user.id, link.details["role"])
        record("auth.setup_link_used", kind="user", id=user.id, after={"role": link.details["role"]})
    return signed_in(user, session_id)


def has_holder(role: str) -> bool:
    """Whether anyone in the current tenant can sign in and holds the role. Oldest first: often that is the one."""
    able = sa.select(User.id).where(User.active, User.password_hash.is_not(None)).order_by(User.id)
    with unit(), closing(db.session.scalars(able.execution_options(yield_per=500))) as ids:
        return any(role in service(Authorizer).roles_of(user_id) for user_id in ids)


def tenant_id_in(token: str) -> UUID:
    """The tenant that a token names, whether or not the token is good. ``Refused(LINK_INVALID)``."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise Refused(LINK_INVALID)
    return UUID(found[1])


def _live_link(token: str) -> Link:
    query = sa.select(Link).where(Link.digest == _digest(token), Link.purpose == PURPOSE).with_for_update()
    link = db.session.scalars(query).one_or_none()
    if link is None or link.used_at is not None or link.expires_at <= utcnow():
        raise Refused(LINK_INVALID)
    return link


def _digest(token: str) -> bytes:
    """Plain SHA-256: the token is 256 random bits, which no dictionary holds."""
    return hashlib.sha256(token.encode()).digest()
