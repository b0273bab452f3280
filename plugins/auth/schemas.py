"""What goes over the wire for everybody. A password is never part of a reply."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core.web import Body, TolerantBody

LONGEST_PASSWORD = 256

Email = Annotated[
    str,
    Meta(min_length=3, max_length=254, examples=["alice@example.com"], extra_json_schema={"format": "email"}),
]
NewPassword = Annotated[str, Meta(min_length=8, max_length=LONGEST_PASSWORD, examples=["correct horse battery"])]
Password = Annotated[str, Meta(min_length=1, max_length=LONGEST_PASSWORD)]
DisplayName = Annotated[str, Meta(min_length=1, max_length=100, examples=["Alice"])]
LinkToken = Annotated[str, Meta(min_length=1, max_length=200)]

Delivery = Literal["json", "cookies"]
"""How tokens come: in the body, or as cookies that no script reads, with a ``csrf_token`` to send along."""


# -- what is asked ----------------------------------------------------------------------------------------------


class Register(Body):
    email: Email
    password: NewPassword
    display_name: DisplayName
    delivery: Delivery = "json"


class LogIn(Body):
    email: Email
    password: Password
    delivery: Delivery = "json"


class Refresh(Body):
    """Without a token the refresh cookie counts, and the answer comes as cookies."""

    refresh_token: Annotated[str, Meta(max_length=4096)] | None = None


class SetUp(Body):
    token: LinkToken
    password: NewPassword
    delivery: Delivery = "json"


class Verify(Body):
    """A token out of a mailed link, and the password that was chosen when registering."""

    token: LinkToken
    password: Password
    delivery: Delivery = "json"


class ChangePassword(Body):
    current_password: Password
    new_password: NewPassword


class ForgotPassword(Body):
    email: Email


class ResetPassword(Body):
    token: LinkToken
    password: NewPassword


class ChangeEmail(Body):
    email: Email
    password: Password


class ConfirmEmail(Body):
    token: LinkToken


class EditMe(Body):
    display_name: DisplayName


class EraseMe(Body):
    password: Password


class SessionsQuery(Body):
    """``except=current`` leaves the session that asks."""

    except_: Literal["current"] | None = msgspec.field(name="except", default=None)


# -- what is answered -------------------------------------------------------------------------------------------


class UserReply(msgspec.Struct, frozen=True):
    id: UUID
    email: str
    display_name: str


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """``expires_in`` is in seconds. Delivered as cookies, the tokens are not told here, and ``csrf_token`` is."""

    access_token: str | UnsetType = UNSET
    refresh_token: str | UnsetType = UNSET
    csrf_token: str | UnsetType = UNSET
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    session_id: UUID
    user: UserReply


class Told(msgspec.Struct, frozen=True):
    """The same words whatever came of it, for whoever asks may not be who the address belongs to."""

    detail: str


class CsrfToken(msgspec.Struct, frozen=True):
    csrf_token: str


class Me(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    email: str
    display_name: str
    tenant_id: UUID
    roles: tuple[str, ...]
    permissions: tuple[str, ...]


class MyData(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept of a person: by plugin, `board` for the core's own."""

    user_id: UUID
    exported_at: datetime
    data: dict[str, Any]


class SessionReply(msgspec.Struct, frozen=True, kw_only=True):
    """``device`` is what the client called itself when it last refreshed; ``current`` marks the one that asks."""

    id: UUID
    device: str
    ip: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    current: bool


class SessionList(msgspec.Struct, frozen=True):
    items: list[SessionReply]
    next: None = None


class EventReply(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    kind: str
    at: datetime
    session_id: UUID | None
    ip: str
    user_agent: str
    details: dict[str, Any]


class Introspect(TolerantBody):
    """RFC 7662, 2.1. The hint changes nothing: a token says by its form what it is."""

    token: str
    token_type_hint: str | None = None


class Introspection(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7662, 2.2. Of a token that is not good, nothing but that."""

    active: bool
    token_type: Literal["access_token", "refresh_token"] | UnsetType = UNSET
    iss: str | UnsetType = UNSET
    aud: str | UnsetType = UNSET
    sub: UUID | UnsetType = UNSET
    sid: UUID | UnsetType = UNSET
    tid: UUID | UnsetType = UNSET
    jti: str | UnsetType = UNSET
    iat: int | UnsetType = UNSET
    exp: int | UnsetType = UNSET


class PublicKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 7517, 4: a key of one of three kinds, with the members of that kind."""

    kty: Literal["RSA", "EC", "OKP"]
    kid: str
    alg: Literal["RS256", "ES256", "EdDSA"]
    use: Literal["sig"]
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class KeySet(msgspec.Struct, frozen=True):
    keys: list[PublicKey]
