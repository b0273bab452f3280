"""Who may do what: principals, permissions, secrets, the audit log, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.trust.audit import record as record
    from core.trust.identity import (
        acting_as as acting_as,
        current_principal as current_principal,
        mint_access_token as mint_access_token,
    )
    from core.trust.permissions import (
        public as public,
        requires as requires,
        resource_type as resource_type,
        signed_in as signed_in,
        tenantless as tenantless,
    )
    from core.trust.scopes import where as where
    from core.trust.secrets import open_sealed as open_sealed, seal as seal, sign as sign, verify as verify

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "public": "core.trust.permissions:public",
        "signed_in": "core.trust.permissions:signed_in",
        "requires": "core.trust.permissions:requires",
        "tenantless": "core.trust.permissions:tenantless",
        "resource_type": "core.trust.permissions:resource_type",
        "current_principal": "core.trust.identity:current_principal",
        "acting_as": "core.trust.identity:acting_as",
        "mint_access_token": "core.trust.identity:mint_access_token",
        "where": "core.trust.scopes:where",
        "record": "core.trust.audit:record",
        "sign": "core.trust.secrets:sign",
        "verify": "core.trust.secrets:verify",
        "seal": "core.trust.secrets:seal",
        "open_sealed": "core.trust.secrets:open_sealed",
    },
)
