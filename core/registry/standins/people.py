"""The stand-ins that have little to say: nobody is known, one tenant is here, nothing is limited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, NoReturn
from uuid import UUID

from core.contracts import Principal, Tenant, User
from core.data.models import new_id
from core.data.tenancy import DEFAULT, PLATFORM
from core.errors import FEATURE_OFF, TOKEN_INVALID, Refused


class NoCredentials:
    """Answers ``Authenticator``: there are no keys and no tickets, and no session is ever revoked."""

    def begin_session(self, user_id: UUID) -> UUID:
        return new_id()

    def by_api_key(self, key: str) -> Principal:
        raise Refused(TOKEN_INVALID)

    def session_stands(self, who: Principal, issued_at: int) -> bool:
        return True

    def by_ticket(self, ticket: str) -> Principal:
        raise Refused(TOKEN_INVALID)


class Nobody:
    """Answers ``UserDirectory``: there are no people."""

    def by_id(self, user_id: UUID) -> User | None:
        return None

    def by_ids(self, user_ids: Iterable[UUID]) -> dict[UUID, User]:
        return {}

    def by_email(self, email: str) -> User | None:
        return None


class OneTenant:
    """Answers ``TenantDirectory``: ``default``, and ``platform`` for those who run the board."""

    def by_id(self, tenant_id: UUID) -> Tenant | None:
        return next((tenant for tenant in self.every() if tenant.id == tenant_id), None)

    def by_slug(self, slug: str) -> Tenant | None:
        return next((tenant for tenant in self.every() if tenant.slug == slug), None)

    def by_domain(self, host: str) -> Tenant | None:
        return None

    def every(self) -> tuple[Tenant, ...]:
        return (DEFAULT, PLATFORM)


class NoLimits:
    """Answers ``Quota``: everything is permitted, so nothing is counted."""

    def use(self, what: str, amount: int = 1) -> None:
        """Nothing is used up."""

    def give_back(self, what: str, amount: int = 1) -> None:
        """Nothing was taken."""


class NoImages:
    """Answers ``Images`` with a refusal: decoding images safely takes a library that the core does without."""

    def resize(self, data: BinaryIO, *, width: int, height: int, format: str = "webp") -> NoReturn:
        raise Refused(FEATURE_OFF, "switch on a plugin that provides Images")
