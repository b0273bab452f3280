"""Inviting people: an account without a password, and a link by which its owner chooses one.

The roles wait in the link, with who promised them, and are given when it is redeemed (``setup_links``), as far as
whoever promised them may still give them then. No job carries a token: the link is kept
with a digest of a token that nobody has, and the job that mails it puts a new one in its place. A job whose link was
replaced by a later invitation mails nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from core.background import enqueue
from core.contracts import Authorizer, Mailer, Principal, service
from core.data import db, unit
from core.errors import Refused
from core.trust import record
from plugins.auth.api import EMAIL_TAKEN
from plugins.auth.models import Link, User
from plugins.auth.services import authority, events, letters, links, people, users
from plugins.auth.user_schemas import Invite, ManagedUserWithRoles


def invite(who: Principal, asked: Invite) -> ManagedUserWithRoles:
    """Have an invitation mailed, or once more to who has not accepted one; an earlier link dies.

    ``Refused``: VALIDATION_FAILED, EMAIL_TAKEN, UNKNOWN_ROLE, FORBIDDEN.
    """
    address, name = people.acceptable(asked.email), people.acceptable_name(asked.display_name)
    roles = sorted(set(asked.roles) - {authority.EVERYONE})
    authority.check_may_give(who, roles)
    known = people.find(address)
    if known is None:
        user = User(email=address, display_name=name)
        people.add(user)
    else:
        user = _waiting(who, known)
        user.display_name = name
    _check_known(user.id, roles)
    link = links.reserve(user.id, links.INVITE, roles=roles, **authority.promiser(who))
    record("auth.user_invited", kind="user", id=user.id, after={"roles": roles})
    users.note(events.INVITED, who, user, roles=roles)
    enqueue("auth.mail_invitation", link_id=link.id)
    return users.shown(user)


def mail(link_id: UUID) -> None:
    """From a job: the invitation, unless it was redeemed or replaced. Opens a unit."""
    with unit():
        link = db.session.get(Link, link_id, with_for_update=True)
        user = db.session.get(User, link.user_id) if link is not None else None
        if link is None or user is None or not user.active or link.used_at is not None:
            return
        address = links.address(links.INVITE, links.renew(link))
        letter = letters.invitation(user.email, user.display_name, address)
    service(Mailer).send(**letter)


def _waiting(who: Principal, known: User) -> User:
    """Somebody who can be invited again: no password chosen yet, and not switched off."""
    user = authority.subject(who, known.id)
    if user.password_hash is not None:
        raise Refused(EMAIL_TAKEN)
    if not user.active:
        raise Refused(EMAIL_TAKEN, "the account of this address is switched off; enable it first")
    return user


def _check_known(user_id: UUID, roles: Iterable[str]) -> None:
    """``Refused(UNKNOWN_ROLE)`` now, and not only to whoever follows the link.

    Which roles there are cannot be asked, but giving one can be tried: in a savepoint that is rolled back.
    """
    savepoint = db.session.begin_nested()
    try:
        for role in roles:
            service(Authorizer).assign(user_id, role)
        db.session.flush()
    finally:
        savepoint.rollback()
