"""Registering where an address must first be shown to be one's own (``AUTH_SIGNUP=verify``).

The request does one thing, whoever has the address: it keeps what was asked and leaves the rest to a job. The job
mails a link, or tells the owner of an account that somebody tried to open another. No account is made before the link
is used, so nobody can sit on an address that is not theirs.
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from core.background import enqueue, enqueue_in
from core.contracts import Mailer, service
from core.data import db, unit, utcnow
from core.errors import Refused
from plugins.auth.api import EMAIL_TAKEN, LINK_INVALID, WRONG_PASSWORD
from plugins.auth.callers import Caller
from plugins.auth.models import Signup, User
from plugins.auth.passwords import chosen, matches
from plugins.auth.schemas import SignedIn, Told
from plugins.auth.services import accounts, events, letters, links, people, sessions
from plugins.auth.services.signing_in import of_new_session

LATER = 600.0
"""Seconds that a message waits where an address has been written to often enough."""
TOLD = Told("If the address can have an account here, a message with a link is on its way to it.")


def ask(email: str, password: str, display_name: str) -> Told:
    """Keep the wish for an account. ``Refused``: VALIDATION_FAILED, SIGNUP_CLOSED, BUSY. Opens a unit."""
    accounts.check_open()
    address, name = people.acceptable(email), people.acceptable_name(display_name)
    digest = chosen(password)
    with unit():
        row = Signup(
            email=address, display_name=name, password_hash=digest, expires_at=utcnow() + links.LIFETIMES[links.VERIFY]
        )
        db.session.add(row)
        db.session.flush()
        enqueue("auth.mail_signup", signup_id=row.id)
    return TOLD


def mail(signup_id: UUID) -> None:
    """From a job: the link to whoever asked, or word to who has the account already. Opens a unit."""
    with unit():
        row = db.session.get(Signup, signup_id, with_for_update=True)
        if row is None:
            return
        if not letters.may_write_to(row.email):
            enqueue_in(LATER, "auth.mail_signup", signup_id=signup_id)
            return
        taken = people.find(row.email) is not None
        if taken:
            letter = letters.taken(row.email)
            db.session.delete(row)
        else:
            token = links.new_token()
            row.digest = links.digest_of(token)
            letter = letters.verify(row.email, links.address(links.VERIFY, token))
    service(Mailer).send(**letter, key=f"auth.signup:{signup_id}" if taken else None)


def verify(token: str, password: str, caller: Caller) -> SignedIn:
    """Make the account and sign its owner in. Opens units.

    ``Refused``: LINK_INVALID, WRONG_PASSWORD, EMAIL_TAKEN, BUSY.

    Of what somebody else registered with the owner's address the owner gets the link, and does not know the password.
    """
    with unit():
        asked = _live(token)
    if not matches(password, asked.password_hash):
        raise Refused(WRONG_PASSWORD, "it is not the one that was chosen when this account was asked for")
    with unit():
        # All that asked for the address, in order: two links of it at once would else wait for one another.
        same = sa.select(Signup.id).where(Signup.email == asked.email).order_by(Signup.id).with_for_update()
        db.session.scalars(same).all()
        row = _live(token)
        # The address was asked for once more, and that link used first: the account is theirs already.
        if people.find(row.email) is not None:
            raise Refused(EMAIL_TAKEN)
        user = User(
            email=row.email,
            display_name=row.display_name,
            password_hash=row.password_hash,
            email_verified_at=utcnow(),
        )
        people.add(user)
        db.session.execute(sa.delete(Signup).where(Signup.email == row.email))
        enqueue("auth.send_welcome", user_id=user.id)
        session = sessions.begin(user, caller, how=events.REGISTERED)
    return of_new_session(user, session)


def _live(token: str) -> Signup:
    query = sa.select(Signup).where(Signup.digest == links.digest_of(token), Signup.expires_at > utcnow())
    row = db.session.scalars(query).one_or_none()
    if row is None:
        raise Refused(LINK_INVALID)
    return row
