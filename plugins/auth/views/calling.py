"""What the views of this plugin share: who calls from where, and in which tenant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from flask import request

from core.contracts import Principal
from core.data import acting_in
from core.trust import current_principal
from core.web.edge import client_ip, tenant_of
from plugins.auth.callers import Caller
from plugins.auth.models import LONGEST_AGENT
from plugins.auth.services import accounts


def caller() -> Caller:
    """Where the request comes from. A text that no store can hold is nobody's name for a device."""
    agent = request.headers.get("User-Agent", "")[:LONGEST_AGENT]
    return Caller(client_ip(), "".join(char for char in agent if char.isprintable()))


@contextmanager
def at_home() -> Iterator[Principal]:
    """The principal, in the tenant of their own account."""
    who = current_principal()
    with accounts.at_home(who):
        yield who


@contextmanager
def in_tenant(tenant_id: UUID) -> Iterator[None]:
    """The tenant that a token names; a host or ``X-Tenant-ID`` that names another is refused."""
    with acting_in(tenant_of(Principal(tenant_id=tenant_id))):
        yield
