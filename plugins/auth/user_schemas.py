"""What goes over the wire for those who administrate people. A password is asked for, and never told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core.web import Body, CountedQuery
from plugins.auth.schemas import DisplayName, Email, EventReply, NewPassword

Role = Annotated[str, Meta(min_length=1, max_length=80, examples=["editor"])]
Roles = Annotated[list[Role], Meta(max_length=50)]


# -- what is asked ----------------------------------------------------------------------------------------------


class UsersQuery(CountedQuery):
    """``search`` is part of an address or a name, whatever its case."""

    search: Annotated[str, Meta(min_length=1, max_length=254)] | None = None
    active: bool | None = None


class NewUser(Body):
    """Without a password nobody can log in until they have had a link mailed."""

    email: Email
    display_name: DisplayName
    password: NewPassword | None = None
    roles: Roles = []


class Invite(Body):
    """``roles`` are given when the invitation is redeemed."""

    email: Email
    display_name: DisplayName
    roles: Roles = []


class EditUser(Body):
    """What is left out stays; another address counts as not verified."""

    display_name: DisplayName | UnsetType = UNSET
    email: Email | UnsetType = UNSET


class SetRoles(Body):
    """All roles that the user is to have; ``user`` is everyone's, named or not."""

    roles: Roles


class Compromised(Body):
    reason: Annotated[str, Meta(min_length=1, max_length=500, examples=["signed in from a country of no colleague"])]


class AnomaliesQuery(Body):
    """``since`` is 24 hours ago unless told, and 90 days ago at most."""

    by: Literal["ip", "account", "hour"] = "ip"
    since: Annotated[datetime, Meta(tz=True)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


# -- what is answered -------------------------------------------------------------------------------------------


class ManagedUser(msgspec.Struct, frozen=True, kw_only=True):
    """``must_reset``: the password is good no more, until another is chosen by a mailed link.

    ``erase_asked_at``: the account is closed for good, and will be gone once all that is kept of its owner is.
    """

    id: UUID
    email: str
    display_name: str
    active: bool
    must_reset: bool
    email_verified_at: datetime | None
    has_password: bool
    erase_asked_at: datetime | None
    created_at: datetime


class ManagedUserWithRoles(ManagedUser, frozen=True, kw_only=True):
    roles: tuple[str, ...]


class TimelineSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session, also one that has ended; ``ip`` and ``device`` are where it was last refreshed."""

    id: UUID
    device: str
    ip: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    revoked_reason: str | None


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """An account, its sessions and its events, newest first; ``truncated`` where there were more than are told."""

    user: ManagedUserWithRoles
    sessions: list[TimelineSession]
    events: list[EventReply]
    truncated: bool


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """``accounts``: how many addresses were tried; ``ips``: from how many places. What is the key is not counted."""

    key: str
    failures: int
    accounts: int | UnsetType = UNSET
    ips: int | UnsetType = UNSET
    last_at: datetime


class Anomalies(msgspec.Struct, frozen=True):
    items: list[Anomaly]
