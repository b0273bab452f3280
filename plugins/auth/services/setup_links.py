"""The first administrator: a link, printed by a command, that sets a password and gives a role, once."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from core.contracts import Authorizer, service
from core.data import db, unit, utcnow
from core.errors import Refused
from core.registry import settings_of
from core.trust import record
from plugins.auth.api import LINK_INVALID
from plugins.auth.callers import NOBODY, Caller
from plugins.auth.models import Link, User
from plugins.auth.passwords import chosen
from plugins.auth.schemas import SignedIn
from plugins.auth.services import authority, events, links, people, promises, sessions
from plugins.auth.services.signing_in import of_new_session


def make_link(email: str, role: str) -> str:
    """A token that makes ``email`` a holder of ``role`` here; earlier ones for it die. Opens a unit.

    ``Refused``: VALIDATION_FAILED, CONFLICT for an account that is being erased.
    """
    address = people.acceptable(email)
    with unit():
        user = people.find(address)
        if user is None:
            user = User(email=address, display_name=address.partition("@")[0])
            people.add(user)
        authority.check_stays(user)
        lifetime = timedelta(seconds=settings_of("auth").setup_link_seconds)
        token = links.make(user.id, links.SETUP, lifetime, role=role)
        record("auth.setup_link_made", kind="user", id=user.id, after={"role": role})
    return token


def redeem(token: str, password: str, caller: Caller = NOBODY) -> SignedIn:
    """Set the password, give the role, end what sessions there were, and sign in. Opens units.

    ``Refused``: LINK_INVALID, VALIDATION_FAILED, BUSY. Looks first, for garbage is not worth a hash; then hashes; then
    takes the link under a lock, so that of several attempts one succeeds. An account that is being erased has no links.
    """
    purposes = (links.SETUP, links.INVITE)
    with unit():
        found = links.find(token, *purposes)
    digest = chosen(password)
    staff = authority.staff_stands(found.details)
    with unit():
        user = _owner(found.user_id)
        link = links.use(token, *purposes)
        sessions.end_all(user.id, sessions.PASSWORD, caller)
        user.password_hash, user.must_reset = digest, False
        if link.purpose == links.SETUP:
            user.active = True
        else:
            user.email_verified_at = user.email_verified_at or utcnow()  # the invitation was mailed to it
        _give(user, link, staff)
        session = sessions.begin(user, caller)
    return of_new_session(user, session)


def _give(user: User, link: Link, staff: bool) -> None:
    """The roles that wait in the link, less those that whoever promised them may give no more."""
    given = authority.still_given(link.details, staff)
    for role in sorted(given):
        service(Authorizer).assign(user.id, role)
    told = dict(link.details)
    if withheld := sorted(promises.roles_in(link.details) - given):
        told["withheld"] = withheld
        events.note(
            events.ROLES_WITHHELD, user_id=user.id, account=user.email, by=link.details["by"], withheld=withheld
        )
    record(f"auth.{link.purpose}_link_used", kind="user", id=user.id, after=told)


def _owner(user_id: UUID) -> User:
    """Whose link it is, locked before the link is, as whoever makes links worthless does. ``Refused(LINK_INVALID)``."""
    try:
        user = sessions.locked(user_id)
    except Refused:
        raise Refused(LINK_INVALID) from None
    if user.erase_asked_at is not None:
        raise Refused(LINK_INVALID)
    return user


def has_holder(role: str) -> bool:
    """Whether anyone in the current tenant can sign in and holds the role. Oldest first: often that is the one."""
    able = sa.select(User.id).where(User.active, User.password_hash.is_not(None)).order_by(User.id)
    with unit(), closing(db.session.scalars(able.execution_options(yield_per=500))) as ids:
        return any(role in service(Authorizer).roles_of(user_id) for user_id in ids)
