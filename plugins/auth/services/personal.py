"""Taking one's data along, and being forgotten: asked of every plugin through ``PersonalData``.

Erasure goes on in a job, for it must happen although a store is away just then: plugin after plugin, this one last, so
that a job which failed in the middle finds the account again and begins anew. That it was asked is kept with the
account: where the job is lost, a duty (``housekeeping``) makes another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa

from core.background import enqueue
from core.contracts import PersonalData, Principal, services
from core.data import db, unit, utcnow
from core.trust import record
from plugins.auth.callers import Caller
from plugins.auth.models import Event, Link, Session, Signup, User
from plugins.auth.schemas import MyData, Told
from plugins.auth.services import accounts, administrators, events, links, sessions

T = TypeVar("T")

OWN = "auth"
TOLD = Told("Your account is closed. What is kept of you will be gone shortly.")


def export(who: Principal) -> MyData:
    """Everything that any plugin keeps of somebody, by plugin; all or, where a store is away, nothing. Opens units."""
    with unit():
        user_id = accounts.own(who).id
    found = {name: _apart(kept.export, user_id) for name, kept in services(PersonalData).items()}
    return MyData(user_id=user_id, exported_at=utcnow(), data=found)


def ask_erasure(who: Principal, password: str, caller: Caller) -> Told:
    """Close one's account, and have all erased. ``Refused``: WRONG_PASSWORD, LAST_ADMIN, BUSY. Opens units."""
    accounts.confirm(who, password, caller)
    with unit():
        close(accounts.own(who).id, caller)
    return TOLD


def close(user_id: UUID, caller: Caller) -> None:
    """Let nobody in any more, and leave the erasing to a job. Within a unit. ``Refused``: NOT_FOUND, LAST_ADMIN."""
    administrators.check_not_last(user_id)
    user = sessions.locked(user_id)
    user.active = False
    user.erase_asked_at = user.erase_asked_at or utcnow()
    sessions.end_all(user.id, sessions.DELETED, caller)
    links.forget(user.id)
    record("auth.account_closed", kind="user", id=user.id)
    enqueue("auth.erase", user_id=user.id)


def erase(user_id: UUID) -> None:
    """From a job: every plugin forgets the person, and then the account goes. Opens units; may be called again."""
    answers = services(PersonalData)
    for name in sorted(answers, key=lambda name: name == OWN):
        _apart(answers[name].erase, user_id)


def _apart(method: Callable[[UUID], T], user_id: UUID) -> T:
    """A unit of work for this plugin alone, unless it opens its own."""
    if getattr(method, "__in_steps__", False):
        return method(user_id)
    with unit():
        return method(user_id)


class AccountData:
    """Answers ``PersonalData`` for accounts: all that their tables keep, except hashes and digests."""

    def export(self, user_id: UUID) -> Mapping[str, Any]:
        user = db.session.get(User, user_id)
        if user is None:
            return {}
        return {
            "account": _told(user, *_ACCOUNT),
            "sessions": [_told(row, *_SESSION) for row in _owned(Session, user_id)],
            "events": [{"at": row.created_at, **_told(row, *_EVENT)} for row in _owned(Event, user_id)],
            "links": [_told(row, *_LINK) for row in _owned(Link, user_id)],
        }

    def erase(self, user_id: UUID) -> None:
        user = db.session.get(User, user_id, with_for_update=True)
        if user is None:
            return
        sessions.end_all(user.id, sessions.DELETED)
        db.session.flush()
        addresses = _addresses(user)
        # What others did at an address that was theirs before, or is now, is theirs.
        db.session.execute(sa.delete(Event).where(Event.account.in_(addresses), Event.user_id.is_(None)))
        db.session.execute(sa.delete(Signup).where(Signup.email.in_(addresses)))
        for owned in (Event, Link, Session):
            db.session.execute(sa.delete(owned).where(owned.user_id == user_id))
        db.session.delete(user)


_ACCOUNT = (
    *("id", "email", "display_name", "active", "must_reset", "email_verified_at", "erase_asked_at"),
    *("created_at", "updated_at"),
)
_SESSION = (
    *("id", "created_at", "rotated_at", "expires_at", "revoked_at", "revoked_reason"),
    *("counter", "ip", "user_agent"),
)
_EVENT = ("kind", "account", "session_id", "ip", "user_agent", "details")
_LINK = ("purpose", "created_at", "expires_at", "used_at", "details")


def _told(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _owned(table: Any, user_id: UUID) -> sa.ScalarResult[Any]:
    return db.session.scalars(sa.select(table).where(table.user_id == user_id).order_by(table.id))


def _addresses(user: User) -> list[str]:
    """The account's address, and those that it had before as far as its history tells."""
    before = Event.details["before"].astext
    left = sa.select(before).where(Event.user_id == user.id, Event.kind == events.EMAIL_CHANGED)
    return [user.email, *(address for address in db.session.scalars(left) if address)]
