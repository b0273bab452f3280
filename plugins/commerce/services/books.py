"""Whether the books are right: that postings balance, and that balances are what the entries make of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa

from core.data import db
from plugins.commerce.models import Account, Entry, Posting

MOST_TOLD = 20
"""Faults of one kind that are named."""


class Books(NamedTuple):
    """What was looked at in one tenant, and what is wrong there, in words."""

    accounts: int
    postings: int
    faults: list[str]


def check() -> Books:
    """Read the whole ledger of the current tenant; each question is one statement, so transfers may go on meanwhile."""
    accounts, postings = (
        db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0 for model in (Account, Posting)
    )
    return Books(accounts, postings, [*_unbalanced(), *_balances(), *_steps()])


def _unbalanced() -> Iterator[str]:
    total, parts = sa.func.coalesce(sa.func.sum(Entry.amount), 0), sa.func.count(Entry.id)
    wanted = (
        sa.select(Posting.id, total, parts)
        .outerjoin(Entry, sa.and_(Entry.tenant_id == Posting.tenant_id, Entry.posting_id == Posting.id))
        .group_by(Posting.id)
        .having(sa.or_(total != 0, parts < 2))
        .order_by(Posting.id)
        .limit(MOST_TOLD)
    )
    for id, amount, count in db.session.execute(wanted):
        yield f"posting {id}: its {count} entries sum to {amount}, and not to 0"


def _balances() -> Iterator[str]:
    total = sa.func.coalesce(sa.func.sum(Entry.amount), 0)
    wanted = (
        sa.select(Account.id, Account.balance, total)
        .outerjoin(Entry, sa.and_(Entry.tenant_id == Account.tenant_id, Entry.account_id == Account.id))
        .group_by(Account.id, Account.balance)
        .having(total != Account.balance)
        .order_by(Account.id)
        .limit(MOST_TOLD)
    )
    for id, balance, amount in db.session.execute(wanted):
        yield f"account {id}: its balance is {balance}, and its entries sum to {amount}"


def _steps() -> Iterator[str]:
    sums = sa.func.sum(Entry.amount).over(partition_by=Entry.account_id, order_by=Entry.version)
    each = sa.select(Entry.id, Entry.account_id, Entry.balance, sums.label("sum")).subquery()
    wanted = (
        sa.select(each.c.id, each.c.account_id, each.c.balance, each.c.sum)
        .where(each.c.balance != each.c.sum)
        .order_by(each.c.account_id, each.c.id)
        .limit(MOST_TOLD)
    )
    for id, account_id, balance, amount in db.session.execute(wanted):
        yield f"entry {id} of account {account_id}: it tells a balance of {balance}, where {amount} had come together"
