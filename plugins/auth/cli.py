"""``flask auth …``: what operators do about accounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec
from flask.cli import AppGroup

from core.config import settings
from core.contracts import SYSTEM, TenantDirectory, service
from core.data import PLATFORM, acting_in, unit
from core.errors import Refused
from core.trust import acting_as
from plugins.auth.services import compromised, setup_links, user_states, users
from plugins.auth.user_schemas import Compromised, ManagedUser, UsersQuery

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
        raise _unknown(slug)
    if tenant.id == PLATFORM.id and not platform:
        raise click.UsageError("administrators of the tenant `platform` are platform staff: say --platform")
    with acting_in(tenant):
        if if_none and setup_links.has_holder(role):
            return
        try:
            token = setup_links.make_link(email, role)
        except Refused as refusal:
            raise _told(refusal) from None
    click.echo(f"{settings().api_url.rstrip('/')}/auth/setup#token={token}")


of_tenant = click.option("--tenant", "slug", default="default", show_default=True, help="The tenant that it is about.")


@auth.command("users")
@click.option("--search", help="Part of an address or a name.")
@of_tenant
def list_users(search: str | None, slug: str) -> None:
    """List people, the newest first: id, address, name, and what is unusual about the account."""
    cursor = None
    with _inside(slug):
        while True:
            with unit():
                page = users.page(UsersQuery(search=search or None, limit=100, cursor=cursor))
            for user in page.items:
                click.echo(_line(user))
            cursor = page.next
            if cursor is None:
                return


@auth.command("revoke")
@click.argument("email")
@of_tenant
def revoke(email: str, slug: str) -> None:
    """Sign EMAIL out everywhere."""
    with _inside(slug), unit():
        ended = user_states.end_sessions(SYSTEM, users.by_address(email).id)
    click.echo(f"{ended} sessions ended")


@auth.command("compromised")
@click.argument("email")
@click.option("--reason", required=True, help="What is known of it; kept in the audit log.")
@of_tenant
def respond(email: str, reason: str, slug: str) -> None:
    """The account of EMAIL was hacked: end its sessions, kill its links, force a reset; print what happened to it."""
    try:
        msgspec.convert({"reason": reason}, Compromised)
    except msgspec.ValidationError:
        raise click.UsageError("--reason takes 1 to 500 characters") from None
    with _inside(slug), unit():
        timeline = compromised.respond(SYSTEM, users.by_address(email).id, reason)
    click.echo(msgspec.json.format(msgspec.json.encode(timeline), indent=2).decode())


@contextmanager
def _inside(slug: str) -> Iterator[None]:
    tenant = service(TenantDirectory).by_slug(slug)
    if tenant is None or not tenant.active:
        raise _unknown(slug)
    with acting_as(SYSTEM), acting_in(tenant):
        try:
            yield
        except Refused as refusal:
            raise _told(refusal) from None


def _unknown(slug: str) -> click.ClickException:
    return click.ClickException(f"there is no tenant {slug!r}; give the slug of one that exists")


def _told(refusal: Refused) -> click.ClickException:
    return click.ClickException("; ".join(fault.detail for fault in refusal.fields) or str(refusal))


def _line(user: ManagedUser) -> str:
    unusual = [
        text
        for text, so in (
            ("switched off", not user.active),
            ("being erased", user.erase_asked_at is not None),
            ("must reset", user.must_reset),
            ("no password", not user.has_password),
        )
        if so
    ]
    return "\t".join([str(user.id), user.email, user.display_name, ", ".join(unusual)]).rstrip()
