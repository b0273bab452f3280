"""Redeeming an invitation, or the link from ``flask auth admin``."""

from __future__ import annotations

from core.data import in_steps
from core.errors import CSRF_FAILED, TENANT_MISMATCH, UNKNOWN_TENANT
from core.trust import public, tenantless
from core.web import Reply, limited
from core.web.openapi import refuses
from plugins.auth.api import LINK_INVALID
from plugins.auth.schemas import SetUp, SignedIn
from plugins.auth.services import links, setup_links
from plugins.auth.views.calling import caller, in_tenant
from plugins.auth.views.delivery import check_delivery, reply_to
from plugins.auth.views.routes import routes


@routes.post("/setup")
@public
@tenantless
@limited("30/minute", by="ip")
@refuses(LINK_INVALID, TENANT_MISMATCH, UNKNOWN_TENANT, CSRF_FAILED)
@in_steps
def set_up(body: SetUp) -> Reply[SignedIn]:
    """Redeem an invitation, or a link from `flask auth admin`: choose a password, take the role, sign in.

    The tenant is the one that the token names; a host or `X-Tenant-ID` that names another is refused.
    """
    check_delivery(body.delivery)
    with in_tenant(links.tenant_id_in(body.token)):
        return reply_to(setup_links.redeem(body.token, body.password, caller()), body.delivery)
