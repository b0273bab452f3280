"""Accounts, and the entries of each."""

from __future__ import annotations

from uuid import UUID

from core.trust import requires
from core.web import Many, Page, PageQuery, Resource
from plugins.commerce.models import ACCOUNT, Entry
from plugins.commerce.schemas import AccountBody, AccountOut, EntryOut, NewAccount, StatementLine
from plugins.commerce.services import accounts as rules, statements
from plugins.commerce.views.routes import routes

accounts = Resource(
    routes,
    "/accounts",
    ACCOUNT,
    out=AccountOut,
    body=AccountBody,
    create=NewAccount,
    actions=("list", "get", "history", "create", "replace", "patch"),
    filters=("currency", "status", "kind", "balance", "owner_id", "created_at"),
    sorts=("-created_at", "name"),
    include={"entries": Many(Entry, EntryOut, by="account_id", sort="-version", limit=20)},
    rules={"create": rules.open_account, "replace": rules.change},
)


@routes.get("/accounts/<uuid:id>/entries")
@requires("accounts:read", id="id")
def list_entries(id: UUID, query: PageQuery) -> Page[StatementLine]:
    """What came into an account and went out of it, the latest first, with the balance after each."""
    return statements.page(id, query)
