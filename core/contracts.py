"""What plugins may ask of one another without knowing who answers, and the value types those questions use.

``service(Mailer)`` answers with the one implementation that is switched on, or with the board's own small
stand-in; ``services(PersonalData)`` answers with every implementation, by plugin name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Literal, Protocol
from uuid import UUID

import msgspec

from core.service_table import Services as Services, service as service, services as services

# -- who ------------------------------------------------------------------------------------------------------


class Principal(msgspec.Struct, frozen=True):
    """Who is acting. ``limits`` narrows an API key to some permissions; ``None`` means no narrowing."""

    kind: Literal["anonymous", "user", "key", "system"] = "anonymous"
    id: UUID | None = None
    tenant_id: UUID | None = None
    session_id: UUID | None = None
    limits: tuple[str, ...] | None = None


ANONYMOUS = Principal()
SYSTEM = Principal(kind="system")


# -- may they ---------------------------------------------------------------------------------------------------


class Decision(msgspec.Struct, frozen=True):
    """The answer to "may they?": what led to it, from grant to resource, and what would be needed."""

    allowed: bool
    chain: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.allowed


class ResourceType(msgspec.Struct, frozen=True):
    """What authorisation needs to know of a kind of thing; declared beside its model.

    ``kind`` is its name (``order``), ``word`` the permission word (``orders`` as in ``orders:read``), ``owner``
    the column or field with the owner's id, ``parents`` maps a scope kind to the column that holds its id,
    ``stops`` names a boolean column that ends inheritance from the parents, ``model`` is the class itself.
    """

    kind: str
    word: str
    model: Any
    owner: str | None = None
    parents: Mapping[str, str] = msgspec.field(default_factory=dict)
    stops: str | None = None


class Scope(msgspec.Struct, frozen=True):
    """Which rows of a kind someone may touch: a small tree that knows no store (see ``core.trust.scopes``)."""


class All(Scope, frozen=True):
    pass


class Nothing(Scope, frozen=True):
    pass


class IsOwner(Scope, frozen=True):
    owner: UUID


class OneOf(Scope, frozen=True):
    """Rows whose ``parent`` (a scope kind; the kind itself means the row's own id) is one of ``ids``."""

    parent: str
    ids: tuple[UUID, ...]


class And(Scope, frozen=True):
    parts: tuple[Scope, ...]


class Or(Scope, frozen=True):
    parts: tuple[Scope, ...]


class Not(Scope, frozen=True):
    part: Scope


ALL = All()
NONE = Nothing()


SUPER_ADMIN = "super_admin"
"""The role of platform staff: it exists in the tenant ``platform`` alone, and lets them act inside other tenants."""


class Authorizer(Protocol):
    """Roles and grants. ``kind`` is a ``ResourceType.kind`` and ``id`` one resource of that kind."""

    def decide(self, who: Principal, permission: str, kind: str | None = None, id: UUID | None = None) -> Decision: ...

    def decide_many(self, who: Principal, permission: str, kind: str, ids: Iterable[UUID]) -> dict[UUID, Decision]: ...

    def scope(self, who: Principal, permission: str, kind: str) -> Scope: ...

    def permissions_of(self, who: Principal) -> tuple[str, ...]:
        """Every permission that ``who`` holds throughout the tenant, sorted."""
        ...

    def roles_of(self, principal_id: UUID) -> tuple[str, ...]: ...

    def assign(self, principal_id: UUID, role: str, kind: str | None = None, id: UUID | None = None) -> None:
        """Give a role, for the whole tenant or on one resource. Unknown roles: ``Refused(UNKNOWN_ROLE)``."""
        ...

    def withdraw(self, principal_id: UUID, role: str, kind: str | None = None, id: UUID | None = None) -> None: ...


class Authenticator(Protocol):
    """Credentials other than the access token, and whether a session still stands."""

    def by_api_key(self, key: str) -> Principal:
        """Whose key it is; ``Refused(TOKEN_INVALID)`` when it is nobody's."""
        ...

    def session_stands(self, who: Principal, issued_at: int) -> bool:
        """False when the session behind an access token (issued at epoch seconds) has been revoked."""
        ...

    def begin_session(self, user_id: UUID) -> UUID:
        """A new session of a user of this tenant, for ``mint_access_token``; ``Refused`` for who may not sign in."""
        ...

    def by_ticket(self, ticket: str) -> Principal: ...  # redeems a single-use socket ticket


# -- people and tenants -----------------------------------------------------------------------------------------


class User(msgspec.Struct, frozen=True):
    id: UUID
    email: str
    display_name: str
    active: bool = True


class UserDirectory(Protocol):
    """The people of the current tenant."""

    def by_id(self, user_id: UUID) -> User | None: ...

    def by_ids(self, user_ids: Iterable[UUID]) -> dict[UUID, User]: ...

    def by_email(self, email: str) -> User | None: ...


class Tenant(msgspec.Struct, frozen=True):
    """``home`` says where its tables live: ``row``, ``schema`` or ``database``."""

    id: UUID
    slug: str
    name: str
    active: bool = True
    home: Literal["row", "schema", "database"] = "row"


class TenantDirectory(Protocol):
    """``by_domain`` finds the owner of a custom domain."""

    def by_id(self, tenant_id: UUID) -> Tenant | None: ...

    def by_slug(self, slug: str) -> Tenant | None: ...

    def by_domain(self, host: str) -> Tenant | None: ...

    def every(self) -> Iterable[Tenant]: ...


class Quota(Protocol):
    def use(self, what: str, amount: int = 1) -> None:
        """Count ``amount`` of ``what`` against the current tenant's plan, or ``Refused`` when it is used up."""
        ...

    def give_back(self, what: str, amount: int = 1) -> None: ...


# -- mail, bytes, images ------------------------------------------------------------------------------------------


class Mailer(Protocol):
    def send(self, *, to: str, subject: str, text: str, html: str | None = None, key: str | None = None) -> None:
        """Hand one message over for delivery; two calls with the same ``key`` send one message."""
        ...


class ObjectStore(Protocol):
    """Bytes under a key, private to the current tenant."""

    def put(self, key: str, data: BinaryIO, content_type: str) -> int:
        """Store and answer the number of bytes."""
        ...

    def open(self, key: str) -> BinaryIO:
        """``Refused(NOT_FOUND)`` when there is none."""
        ...

    def delete(self, key: str) -> None: ...

    def link(self, key: str, expires_in: int = 300) -> str:
        """An address that anyone may read for ``expires_in`` seconds."""
        ...


class Images(Protocol):
    def resize(self, data: BinaryIO, *, width: int, height: int, format: str = "webp") -> bytes: ...


# -- contracts with many answers ------------------------------------------------------------------------------------


class PersonalData(Protocol):
    """Each plugin that keeps something about a person can hand it out and erase it; ``erase`` bears repetition.

    Both are called in a unit of work of their own or, where marked ``@in_steps``, outside any.
    """

    def export(self, user_id: UUID) -> Mapping[str, Any]: ...

    def erase(self, user_id: UUID) -> None: ...


class ReportSource(Protocol):
    def report(self, since: str, until: str) -> Mapping[str, Any]:
        """Figures for the half-open RFC 3339 interval [since, until)."""
        ...


class QueueBackend(Protocol):
    def push(self, queue: str, message: bytes) -> None: ...


ONE: tuple[type, ...] = (
    Authorizer,
    Authenticator,
    UserDirectory,
    TenantDirectory,
    Mailer,
    ObjectStore,
    Images,
    Quota,
)
MANY: tuple[type, ...] = (ReportSource, PersonalData, QueueBackend)
