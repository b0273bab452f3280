"""Accounts, and the entries of each."""

from __future__ import annotations

from core.web import Many, Resource
from plugins.commerce.models import ACCOUNT, Entry
from plugins.commerce.schemas import AccountBody, AccountOut, EntryOut, NewAccount
from plugins.commerce.services import accounts as rules
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
    include={"entries": Many(Entry, EntryOut, by="account_id", sort="-id", limit=20)},
    rules={"create": rules.open_account, "replace": rules.change},
)
