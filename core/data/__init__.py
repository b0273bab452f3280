"""Where things are kept: rows, documents, keys; one transaction a unit; each tenant's apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.data.columns import SoftDeleted as SoftDeleted, Versioned as Versioned, live as live
    from core.data.documents import TenantDocument as TenantDocument
    from core.data.models import (
        GlobalModel as GlobalModel,
        TenantModel as TenantModel,
        db as db,
        new_id as new_id,
        utcnow as utcnow,
    )
    from core.data.repeating import repeatable as repeatable, repeating as repeating
    from core.data.tenancy import (
        DEFAULT as DEFAULT,
        PLATFORM as PLATFORM,
        acting_in as acting_in,
        all_tenants as all_tenants,
        current_tenant as current_tenant,
    )
    from core.data.unit import (
        after_commit as after_commit,
        in_steps as in_steps,
        unit as unit,
        unit_or_none as unit_or_none,
    )

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "db": "core.data.models:db",
        "GlobalModel": "core.data.models:GlobalModel",
        "TenantModel": "core.data.models:TenantModel",
        "Versioned": "core.data.columns:Versioned",
        "SoftDeleted": "core.data.columns:SoftDeleted",
        "live": "core.data.columns:live",
        "new_id": "core.data.models:new_id",
        "utcnow": "core.data.models:utcnow",
        "unit": "core.data.unit:unit",
        "unit_or_none": "core.data.unit:unit_or_none",
        "after_commit": "core.data.unit:after_commit",
        "repeatable": "core.data.repeating:repeatable",
        "repeating": "core.data.repeating:repeating",
        "in_steps": "core.data.unit:in_steps",
        "TenantDocument": "core.data.documents:TenantDocument",
        "DEFAULT": "core.data.tenancy:DEFAULT",
        "PLATFORM": "core.data.tenancy:PLATFORM",
        "acting_in": "core.data.tenancy:acting_in",
        "current_tenant": "core.data.tenancy:current_tenant",
        "all_tenants": "core.data.tenancy:all_tenants",
    },
)
