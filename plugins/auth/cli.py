"""``flask auth …``: what operators do about accounts."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from core.config import settings
from core.contracts import TenantDirectory, service
from core.data import PLATFORM, acting_in
from core.errors import Refused
from plugins.auth.services import setup_links

auth = AppGroup("auth", help="Accounts.")


@auth.command("admin")
@click.argument("email")
@click.option("--tenant", "slug", default="default", show_default=True, help="The tenant to administrate.")
@click.option("--platform", is_flag=True, help="Platform staff instead: super_admin, in the tenant `platform`.")
@click.option("--if-none", is_flag=True, help="Print nothing when an administrator exists already.")
def admin(email: str, slug: str, platform: bool, if_none: bool) -> None:
    """Print a link with which EMAIL chooses a password and becomes administrator; it works once, for an hour."""
    role = "super_admin" if platform else "admin"
    tenant = PLATFORM if platform else service(TenantDirectory).by_slug(slug)
    if tenant is None or not tenant.active:
        raise click.ClickException(f"there is no tenant {slug!r}; give the slug of one that exists")
    if tenant.id == PLATFORM.id and not platform:
        raise click.UsageError("administrators of the tenant `platform` are platform staff: say --platform")
    with acting_in(tenant):
        if if_none and setup_links.has_holder(role):
            return
        try:
            token = setup_links.make_link(email, role)
        except Refused as refusal:
            raise click.ClickException("; ".join(fault.detail for fault in refusal.fields) or str(refusal)) from None
    click.echo(f"{settings().api_url.rstrip('/')}/auth/setup#token={token}")
