"""What goes over the wire. A password is never part of a reply."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from core.web import Body

LONGEST_PASSWORD = 256

Email = Annotated[
    str,
    Meta(min_length=3, max_length=254, examples=["alice@example.com"], extra_json_schema={"format": "email"}),
]
NewPassword = Annotated[str, Meta(min_length=8, max_length=LONGEST_PASSWORD, examples=["correct horse battery"])]
DisplayName = Annotated[str, Meta(min_length=1, max_length=100, examples=["Alice"])]


class Register(Body):
    email: Email
    password: NewPassword
    display_name: DisplayName


class LogIn(Body):
    email: Email
    password: Annotated[str, Meta(min_length=1, max_length=LONGEST_PASSWORD)]


class SetUp(Body):
    token: Annotated[str, Meta(min_length=1, max_length=200)]
    password: NewPassword


class UserReply(msgspec.Struct, frozen=True):
    id: UUID
    email: str
    display_name: str


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """``expires_in`` is in seconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    session_id: UUID
    user: UserReply


class Me(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    email: str
    display_name: str
    tenant_id: UUID
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
