"""Accounts: who people are, how they sign in, and the first administrator."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from msgspec import Meta

from core.config import env
from core.contracts import Authenticator, PersonalData, UserDirectory
from core.registry import Plugin


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    signup: Literal["verify", "instant", "closed"] | None = env(
        default=None,
        doc="verify: a mailed link opens the account; instant: at once; closed: by invitation; unset: verify, but in"
        " development instant",
    )
    session_idle_days: Annotated[int, Meta(ge=1, le=90)] = env(
        default=7, doc="days after which a session that was not refreshed has ended"
    )
    session_days: Annotated[int, Meta(ge=1, le=365)] = env(
        default=30, doc="days after which a session ends, however much it is used"
    )
    reuse_seconds: Annotated[int, Meta(ge=0, le=60)] = env(
        default=10, doc="how long the last refresh token still gets the current one, for a reply that was lost"
    )
    max_sessions: Annotated[int, Meta(ge=1, le=100)] = env(
        default=5, doc="live sessions of one account; the longest unused one ends for another"
    )
    hash_threads: Annotated[int, Meta(ge=1, le=32)] = env(
        default=2, doc="password hashes computed at once in a process; each takes 19 MiB while it runs"
    )
    hash_queue: Annotated[int, Meta(ge=0, le=10_000)] = env(
        default=64, doc="requests that may wait for a hash in a process; beyond, they are told to come back (503)"
    )
    setup_link_seconds: Annotated[int, Meta(ge=60, le=7 * 86_400)] = env(
        default=3600, doc="how long a link from `flask auth admin` can be used"
    )


plugin = Plugin(
    name="auth",
    package=__name__,
    api=1,
    settings=Settings,
    provides={
        UserDirectory: "plugins.auth.services.people:People",
        Authenticator: "plugins.auth.services.authenticator:Credentials",
        PersonalData: "plugins.auth.services.personal:AccountData",
    },
    permissions=("tokens:introspect",),
    public_paths=("/.well-known/jwks.json",),
)
