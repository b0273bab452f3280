"""Who sees what: a tenant's people their own jobs.

The queues are shared by all: they are the platform's, or those of ``default`` on a board that nobody splits.
"""

from __future__ import annotations

from uuid import UUID

from core.contracts import TenantDirectory, service
from core.data import DEFAULT, PLATFORM, current_tenant
from core.errors import FORBIDDEN, Refused


def board_wide() -> bool:
    """Whether the current tenant may see what belongs to no tenant, or to all of them."""
    tenant = current_tenant()
    if tenant.id == PLATFORM.id:
        return True
    known = {each.id for each in service(TenantDirectory).every()}
    return tenant.id == DEFAULT.id and known <= {DEFAULT.id, PLATFORM.id}


def check_board_wide() -> None:
    if not board_wide():
        raise Refused(FORBIDDEN, "queues and schedules are shared by all tenants: they are the platform's")


def whose() -> UUID | None:
    """The tenant whose jobs may be seen; ``None`` for all."""
    return None if board_wide() else current_tenant().id
