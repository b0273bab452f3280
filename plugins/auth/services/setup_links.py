"""The first administrator: a link, printed by a command, that sets a password and gives a role, once."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import sqlalchemy as sa

from core.contracts import Authorizer, service
from core.data import db, unit, utcnow
from core.registry import settings_of
from core.trust import record
from plugins.auth.callers import NOBODY, Caller
from plugins.auth.models import User
from plugins.auth.passwords import chosen
from plugins.auth.schemas import SignedIn
from plugins.auth.services import links, people, sessions
from plugins.auth.services.signing_in import of_new_session


def make_link(email: str, role: str) -> str:
    """A token that makes ``email`` a holder of ``role`` here; earlier ones for it die. Opens a unit."""
    address = people.acceptable(email)
    with unit():
        user = people.find(address)
        if user is None:
            user = User(email=address, display_name=address.partition("@")[0])
            people.add(user)
        lifetime = timedelta(seconds=settings_of("auth").setup_link_seconds)
        token = links.make(user.id, links.SETUP, lifetime, role=role)
        record("auth.setup_link_made", kind="user", id=user.id, after={"role": role})
    return token


def redeem(token: str, password: str, caller: Caller = NOBODY) -> SignedIn:
    """Set the password, give the role, end what sessions there were, and sign in. Opens units.

    ``Refused``: LINK_INVALID, VALIDATION_FAILED, BUSY. Looks first, for garbage is not worth a hash; then hashes; then
    takes the link under a lock, so that of several attempts one succeeds.
    """
    purposes = (links.SETUP, links.INVITE)
    with unit():
        links.find(token, *purposes)
    digest = chosen(password)
    with unit():
        link = links.use(token, *purposes)
        user = sessions.locked(link.user_id)
        sessions.end_all(user.id, sessions.PASSWORD, caller)
        user.password_hash, user.must_reset = digest, False
        if link.purpose == links.SETUP:
            user.active = True
        else:
            user.email_verified_at = user.email_verified_at or utcnow()  # the invitation was mailed to it
        for role in filter(None, (link.details.get("role"), *link.details.get("roles", ()))):
            service(Authorizer).assign(user.id, role)
        record(f"auth.{link.purpose}_link_used", kind="user", id=user.id, after=link.details)
        session = sessions.begin(user, caller)
    return of_new_session(user, session)


def has_holder(role: str) -> bool:
    """Whether anyone in the current tenant can sign in and holds the role. Oldest first: often that is the one."""
    able = sa.select(User.id).where(User.active, User.password_hash.is_not(None)).order_by(User.id)
    with unit(), closing(db.session.scalars(able.execution_options(yield_per=500))) as ids:
        return any(role in service(Authorizer).roles_of(user_id) for user_id in ids)
