"""The rules of accounts: who may have one, and how they get in."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from core import contracts
from core.background import enqueue
from core.contracts import Authorizer, Principal, TenantDirectory, service
from core.data import PLATFORM, acting_in, current_tenant, db, new_id, unit, unit_or_none
from core.errors import TOKEN_INVALID, VALIDATION_FAILED, FieldFault, Refused
from core.live import notify
from core.trust import mint_access_token
from plugins.auth.addresses import normalise
from plugins.auth.api import EMAIL_TAKEN, INVALID_CREDENTIALS, SIGNUP_CLOSED
from plugins.auth.models import User
from plugins.auth.passwords import hashed, matches
from plugins.auth.schemas import Me, SignedIn, UserReply


def register(email: str, password: str, display_name: str) -> SignedIn:
    """Open an account and sign its owner in. ``Refused``: VALIDATION_FAILED, EMAIL_TAKEN, SIGNUP_CLOSED, BUSY."""
    if current_tenant().id == PLATFORM.id:
        raise Refused(SIGNUP_CLOSED, "staff of the platform are made with `flask auth admin EMAIL --platform`")
    address, name = acceptable(email), _presentable(display_name)
    digest = hashed(password)
    with unit():
        user = User(email=address, display_name=name, password_hash=digest)
        add(user)
        enqueue("auth.send_welcome", user_id=user.id)
    return signed_in(user, new_id())


def log_in(email: str, password: str) -> SignedIn:
    """Sign in. One ``Refused(INVALID_CREDENTIALS)`` and the same work, whether there is such an account or not."""
    # Older than whatever ends sessions while the password is being checked.
    session_id = new_id()
    with unit():
        user = find(acceptable(email))
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


def acceptable(email: str) -> str:
    """The address in its one form, or ``Refused(VALIDATION_FAILED)``."""
    try:
        return normalise(email)
    except ValueError as exc:
        raise _fault("$.email", str(exc)) from None


def comparable(email: str) -> str:
    """The address in its one form, or as it stands where it is none."""
    try:
        return normalise(email)
    except ValueError:
        return email


def _presentable(name: str) -> str:
    """The name without spaces around it; one that is empty, or could break a line in a list or a mail, is refused."""
    name = name.strip()
    if not any(_visible(char) for char in name) or any(_unfit(char) for char in name):
        raise _fault("$.display_name", "a name is one line of visible characters")
    return name


# Fillers, which are letters by their category and blank to the eye.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Joiners, without which Persian and the languages of India cannot be written.
_JOINERS = frozenset("\u200c\u200d")


def _visible(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNPS" and char not in _BLANK


def _unfit(char: str) -> bool:
    """Breaks a line, turns the reading direction round, or is nothing at all."""
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _JOINERS


def _fault(field: str, detail: str) -> Refused:
    return Refused(VALIDATION_FAILED, f"{field}: {detail}", fields=[FieldFault(field, "BAD_FORMAT", detail)])


def find(address: str) -> User | None:
    """The user with a normalised address, in the current tenant."""
    return db.session.scalars(sa.select(User).where(User.email == address)).one_or_none()


def add(user: User) -> None:
    """Insert; that the address is free is for the index to say, since a look beforehand loses every race."""
    db.session.add(user)
    try:
        db.session.flush()
    except IntegrityError as exc:
        if getattr(getattr(exc.orig, "diag", None), "constraint_name", None) == "uq_auth_users_email":
            raise Refused(EMAIL_TAKEN) from None
        raise


def signed_in(user: User, session_id: UUID) -> SignedIn:
    token, seconds = mint_access_token(user.id, session_id, current_tenant().id)
    return SignedIn(
        access_token=token,
        expires_in=seconds,
        session_id=session_id,
        user=UserReply(user.id, user.email, user.display_name),
    )


class People:
    """Answers ``UserDirectory`` from this plugin's table."""

    def by_id(self, user_id: UUID) -> contracts.User | None:
        return self.by_ids((user_id,)).get(user_id)

    def by_ids(self, user_ids: Iterable[UUID]) -> dict[UUID, contracts.User]:
        """Unknown ids are left out."""
        wanted = list(dict.fromkeys(user_ids))
        with _transaction():
            rows = db.session.scalars(sa.select(User).where(User.id == sa.any_(sa.literal(wanted, sa.ARRAY(sa.Uuid)))))
            return {row.id: _person(row) for row in rows}

    def by_email(self, email: str) -> contracts.User | None:
        try:
            address = normalise(email)
        except ValueError:
            return None
        with _transaction():
            row = find(address)
            return _person(row) if row else None


def _transaction() -> AbstractContextManager[Any]:
    """The unit that is open, or one of its own: the directory is asked from inside and outside."""
    return nullcontext() if unit_or_none() else unit()


def _person(row: User) -> contracts.User:
    return contracts.User(row.id, row.email, row.display_name, row.active)
