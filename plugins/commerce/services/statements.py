"""Account statements: the entries of one account, in the order in which they were made."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.data import db
from core.errors import NOT_FOUND, Refused
from core.web import Page, PageQuery, paginate
from plugins.commerce.models import Account, Entry, Posting
from plugins.commerce.schemas import StatementLine


def page(account_id: UUID, query: PageQuery) -> Page[StatementLine]:
    """``Refused``: NOT_FOUND, INVALID_CURSOR."""
    if db.session.scalar(sa.select(Account.id).where(Account.id == account_id)) is None:
        raise Refused(NOT_FOUND, f"there is no account {account_id}")
    wanted: Any = (
        sa.select(
            Entry.id,
            Entry.posting_id,
            Entry.amount,
            Entry.balance,
            Entry.created_at,
            Posting.kind,
            Posting.reference,
            Posting.memo,
            Entry.version,
        )
        .join(Posting, sa.and_(Posting.tenant_id == Entry.tenant_id, Posting.id == Entry.posting_id))
        .where(Entry.account_id == account_id)
    )
    return paginate(wanted, ((Entry.version, "desc"), (Entry.id, "desc")), query).map(
        lambda row: StatementLine(*row[:8])
    )
