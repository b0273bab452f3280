"""Opening an account, signing in to it, and looking after one's own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from uuid import UUID

import sqlalchemy as sa

from core.background import enqueue
from core.config import settings
from core.contracts import Authorizer, Principal, TenantDirectory, service
from core.data import PLATFORM, acting_in, current_tenant, db, unit
from core.errors import TOKEN_INVALID, Refused
from core.live import notify
from core.registry import settings_of
from plugins.auth.api import INVALID_CREDENTIALS, SIGNUP_CLOSED, WRONG_PASSWORD
from plugins.auth.callers import NOBODY, Caller
from plugins.auth.models import User
from plugins.auth.passwords import chosen, hashed, matches, outdated
from plugins.auth.schemas import Me, SignedIn
from plugins.auth.services import events, links, lockout, people, sessions
from plugins.auth.services.signing_in import of_new_session


def signup_mode() -> str:
    """``AUTH_SIGNUP``: ``verify`` in production and ``instant`` in development, unless it is told."""
    if current_tenant().id == PLATFORM.id:
        return "closed"
    told: str | None = settings_of("auth").signup
    return told or ("instant" if settings().development else "verify")


def register(email: str, password: str, display_name: str, caller: Caller = NOBODY) -> SignedIn:
    """Open an account and sign its owner in. ``Refused``: VALIDATION_FAILED, EMAIL_TAKEN, SIGNUP_CLOSED, BUSY."""
    check_open()
    address, name = people.acceptable(email), people.acceptable_name(display_name)
    digest = chosen(password)
    with unit():
        user = User(email=address, display_name=name, password_hash=digest)
        people.add(user)
        enqueue("auth.send_welcome", user_id=user.id)
        session = sessions.begin(user, caller, how=events.REGISTERED)
    return of_new_session(user, session)


def check_open() -> None:
    """``Refused(SIGNUP_CLOSED)`` where nobody registers by themselves."""
    if signup_mode() == "closed":
        raise Refused(SIGNUP_CLOSED, "ask an administrator for an invitation")


def log_in(email: str, password: str, caller: Caller = NOBODY) -> SignedIn:
    """Sign in. One answer and the same work, whether there is such an account or not.

    ``Refused``: INVALID_CREDENTIALS, TOO_MANY_ATTEMPTS, BUSY; RESET_REQUIRED to who knows the password.
    """
    address = people.acceptable(email)
    with unit():
        lockout.check(address, caller)
        user = people.find(address)
    right = matches(password, user.password_hash if user else None)
    if user is None or not right or not user.active:
        with unit():
            failed(address, caller)
        raise Refused(INVALID_CREDENTIALS)
    known = user.password_hash or ""
    fresh = hashed(password) if outdated(known) else None
    with unit():
        user = sessions.locked(user.id, gone=INVALID_CREDENTIALS)
        session = sessions.begin(user, caller, known_hash=known)
        if fresh:
            user.password_hash = fresh
    return of_new_session(user, session)


def log_out(who: Principal, caller: Caller) -> None:
    """End the session that asks; its tokens are worth nothing from then on."""
    with unit():
        sessions.end([session_of(who)], sessions.LOGGED_OUT, caller)


def me(who: Principal) -> Me:
    """The account behind a token. Opens a unit. ``Refused(TOKEN_INVALID)`` when there is no such account any more."""
    with unit():
        user = own(who)
        authorizer = service(Authorizer)
        return Me(
            id=user.id,
            email=user.email,
            display_name=user.display_name,
            tenant_id=user.tenant_id,
            roles=authorizer.roles_of(user.id),
            permissions=authorizer.permissions_of(who),
        )


def edit(who: Principal, display_name: str) -> Me:
    """Change what one may change of one's own account by oneself."""
    name = people.acceptable_name(display_name)
    with unit():
        own(who).display_name = name
    return me(who)


def change_password(who: Principal, current: str, new: str, caller: Caller) -> None:
    """A new password for who knows the old one; every other session ends. ``Refused``: WRONG_PASSWORD and others."""
    known = confirm(who, current, caller)
    digest = chosen(new, "$.new_password")
    with unit():
        user = sessions.locked(own(who).id)
        if user.password_hash != known:
            raise Refused(WRONG_PASSWORD)
        user.password_hash = digest
        password_changed(user, events.PASSWORD_CHANGED, caller, but=session_of(who))


def password_changed(user: User, how: str, caller: Caller, *, but: UUID | None = None) -> None:
    """What follows a new password: sessions end, links that were mailed die, the owner hears of it."""
    sessions.end_all(user.id, sessions.PASSWORD, caller, but=but)
    links.forget(user.id)
    events.note(how, caller=caller, user_id=user.id, session_id=but, account=user.email)
    notify(
        user.id,
        kind="auth.password_changed",
        title="Your password was changed",
        text="The password of your account was changed. If that was not you, reset it by mail at once.",
    )


def confirm(who: Principal, password: str, caller: Caller) -> str:
    """That the password is one's own; answers the hash that it has. ``Refused``: WRONG_PASSWORD, BUSY. Opens a unit.

    Guesses count like failed log-ins: a stolen session is no place to try passwords in.
    """
    with unit():
        user = own(who)
        lockout.check(user.email, caller)
    if not matches(password, user.password_hash):
        with unit():
            failed(user.email, caller, who.session_id)
        raise Refused(WRONG_PASSWORD)
    return user.password_hash or ""


def failed(address: str, caller: Caller, session_id: UUID | None = None) -> None:
    """Note a failed attempt upon whoever has the address by now: they may have been erased while it was looked at."""
    holder = sa.select(User.id).where(User.email == address).with_for_update(read=True, key_share=True)
    user_id = db.session.scalar(holder)
    events.note(events.LOG_IN_FAILED, caller=caller, user_id=user_id, session_id=session_id, account=address)


def sign_out(who: Principal, caller: Caller, *, but: UUID | None = None) -> None:
    """End all of one's sessions, or all but one, and what was asked in them. Within a unit."""
    user = sessions.locked(own(who).id)
    sessions.end_all(user.id, sessions.REVOKED, caller, but=but)
    links.forget(user.id, links.EMAIL)


def own(who: Principal) -> User:
    """The account of the principal, in the current unit. ``Refused(TOKEN_INVALID)`` where there is none any more."""
    user = db.session.get(User, who.id) if who.id else None
    if user is None or not user.active:
        raise Refused(TOKEN_INVALID)
    return user


def session_of(who: Principal) -> UUID:
    if who.session_id is None:
        raise Refused(TOKEN_INVALID)
    return who.session_id


def at_home(who: Principal) -> AbstractContextManager[object]:
    """The tenant that the account belongs to: staff who act inside another still mean their own."""
    home = service(TenantDirectory).by_id(who.tenant_id) if who.tenant_id else None
    return acting_in(home or current_tenant())


def welcome(user_id: UUID) -> None:
    """Leave a new user the first notification; a second call changes nothing."""
    user = db.session.get(User, user_id)
    if user is not None:
        notify(
            user.id,
            kind="auth.welcome",
            title="Welcome",
            text=f"Welcome, {user.display_name}. Your account for {user.email} is ready.",
            key="auth.welcome",
        )
