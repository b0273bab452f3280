"""The double-entry ledger: every posting locks its accounts in one order, and either all of it stands or nothing.

Locks are taken in the order of the accounts' ids by one statement, so that postings in opposite directions wait for
one another and never in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

from core.data import db, new_id
from core.errors import NOT_FOUND, VALIDATION_FAILED, FieldFault, Refused
from plugins.commerce.api import ACCOUNT_CLOSED, INSUFFICIENT_FUNDS, REFERENCE_REUSED, Move, Posted
from plugins.commerce.models import Account, Entry, Posting

LARGEST = 2**63 - 1


class DoubleEntry:
    """Answers ``Ledger``."""

    def post(self, moves: Sequence[Move], *, kind: str, reference: str | None = None, memo: str = "") -> Posted:
        check(moves)
        accounts = lock([move.account_id for move in moves])
        if reference is not None and (earlier := _earlier(reference, moves)):
            return earlier
        after = {move.account_id: _balance_after(accounts[move.account_id], move.amount) for move in moves}
        currencies = {accounts[move.account_id].currency for move in moves}
        if len(currencies) > 1:
            raise _unacceptable("currency", f"the accounts are kept in {' and '.join(sorted(currencies))}")
        posting = Posting(id=new_id(), kind=kind, reference=reference, memo=memo, currency=currencies.pop())
        db.session.add(posting)
        db.session.flush()
        db.session.add_all(
            Entry(
                posting_id=posting.id,
                account_id=move.account_id,
                amount=move.amount,
                balance=after[move.account_id],
                version=accounts[move.account_id].version + 1,
            )
            for move in moves
        )
        db.session.flush()
        _write(after)
        return Posted(posting.id, posting.currency)

    def balance_of(self, account_id: UUID) -> int:
        found = db.session.scalar(sa.select(Account.balance).where(Account.id == account_id))
        if found is None:
            raise Refused(NOT_FOUND, "there is no such account")
        return found


def check(moves: Sequence[Move]) -> None:
    """``Refused(VALIDATION_FAILED)`` unless the moves make a posting: each account once, no zero, in sum zero."""
    ids = [move.account_id for move in moves]
    if len(set(ids)) < len(ids):
        raise _unacceptable("account_id", "an account stands twice in one posting")
    if any(move.amount == 0 for move in moves) or len(moves) < 2:
        raise _unacceptable("amount", "a posting moves an amount other than zero between two accounts or more")
    if total := sum(move.amount for move in moves):
        raise _unacceptable("amount", f"the amounts of a posting sum to zero, and not to {total}")


def lock(ids: Sequence[UUID]) -> dict[UUID, Account]:
    """The accounts, kept from others until the unit ends. ``Refused``: NOT_FOUND, ACCOUNT_CLOSED."""
    wanted = (
        sa.select(Account)
        .where(Account.id.in_(sorted(set(ids))))
        .order_by(Account.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    found = {account.id: account for account in db.session.scalars(wanted)}
    for id in ids:
        if id not in found:
            raise Refused(NOT_FOUND, f"there is no account {id}")
        if found[id].status != "open":
            raise Refused(ACCOUNT_CLOSED, f"account {id} is closed")
    return found


def _balance_after(account: Account, amount: int) -> int:
    after = account.balance + amount
    if amount < 0 and after < 0 and not account.overdraft:
        raise Refused(INSUFFICIENT_FUNDS, f"account {account.id} has too little for {-amount}")
    if not -LARGEST <= after <= LARGEST:
        raise _unacceptable("amount", "the balance would be larger than any that can be kept")
    return after


def _earlier(reference: str, moves: Sequence[Move]) -> Posted | None:
    """The posting of this name. Whoever posts it at the same time waits for the same accounts, so one is first."""
    posting = db.session.scalar(sa.select(Posting).where(Posting.reference == reference))
    if posting is None:
        return None
    entries = db.session.execute(sa.select(Entry.account_id, Entry.amount).where(Entry.posting_id == posting.id))
    if {(row.account_id, row.amount) for row in entries} != {(move.account_id, move.amount) for move in moves}:
        raise Refused(REFERENCE_REUSED, f"{reference!r} was posted with other amounts or accounts")
    return Posted(posting.id, posting.currency, again=True)


def _write(after: dict[UUID, int]) -> None:
    """All balances by one statement; a balance is part of what an account's version speaks of."""
    db.session.execute(
        sa.update(Account)
        .where(Account.id.in_(sorted(after)))
        .values(balance=sa.case(after, value=Account.id), version=Account.version + 1),
        execution_options={"synchronize_session": False},
    )


def _unacceptable(field: str, detail: str) -> Refused:
    return Refused(VALIDATION_FAILED, f"{field}: {detail}", fields=(FieldFault(f"$.{field}", "INVALID", detail),))
