"""The rules of accounts: who may have one, and how they get in."""

from __future__ import annotations

from uuid import UUID

from core.background import enqueue
from core.contracts import Authorizer, Principal, TenantDirectory, service
from core.data import PLATFORM, acting_in, current_tenant, db, new_id, unit
from core.errors import TOKEN_INVALID, Refused
from core.live import notify
from core.trust import mint_access_token
from plugins.auth.api import INVALID_CREDENTIALS, SIGNUP_CLOSED
from plugins.auth.models import User
from plugins.auth.passwords import hashed, matches
from plugins.auth.schemas import Me, SignedIn, UserReply
from plugins.auth.services import people


def register(email: str, password: str, display_name: str) -> SignedIn:
    """Open an account and sign its owner in. ``Refused``: VALIDATION_FAILED, EMAIL_TAKEN, SIGNUP_CLOSED, BUSY."""
    if current_tenant().id == PLATFORM.id:
        raise Refused(SIGNUP_CLOSED, "staff of the platform are made with `flask auth admin EMAIL --platform`")
    address, name = people.acceptable(email), people.acceptable_name(display_name)
    digest = hashed(password)
    with unit():
        user = User(email=address, display_name=name, password_hash=digest)
        people.add(user)
        enqueue("auth.send_welcome", user_id=user.id)
    return signed_in(user, new_id())


def log_in(email: str, password: str) -> SignedIn:
    """Sign in. One ``Refused(INVALID_CREDENTIALS)`` and the same work, whether there is such an account or not."""
    # Older than whatever ends sessions while the password is being checked.
    session_id = new_id()
    with unit():
        user = people.find(people.acceptable(email))
    right = matches(password, user.password_hash if user else None)
    if user is None or not right or not user.active:
        raise Refused(INVALID_CREDENTIALS)
    return signed_in(user, session_id)


def me(who: Principal) -> Me:
    """The account behind a token, in the tenant that it belongs to even where staff act inside another. Opens a unit.

    ``Refused(TOKEN_INVALID)`` when there is no such account any more.
    """
    home = service(TenantDirectory).by_id(who.tenant_id) if who.tenant_id else None
    with acting_in(home or current_tenant()), unit():
        user = db.session.get(User, who.id)
        if user is None or not user.active:
            raise Refused(TOKEN_INVALID)
        authorizer = service(Authorizer)
        return Me(
            id=user.id,
            email=user.email,
            display_name=user.display_name,
            tenant_id=user.tenant_id,
            roles=authorizer.roles_of(user.id),
            permissions=authorizer.permissions_of(who),
        )


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


def signed_in(user: User, session_id: UUID) -> SignedIn:
    token, seconds = mint_access_token(user.id, session_id, current_tenant().id)
    return SignedIn(
        access_token=token,
        expires_in=seconds,
        session_id=session_id,
        user=UserReply(user.id, user.email, user.display_name),
    )
