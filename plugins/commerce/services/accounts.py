"""Accounts: opening one, with money in it or none."""

from __future__ import annotations

import sqlalchemy as sa

from core.data import db, repeatable
from core.errors import CONFLICT, FORBIDDEN, Refused
from plugins.commerce.api import Move
from plugins.commerce.models import Account
from plugins.commerce.schemas import AccountBody, NewAccount
from plugins.commerce.services.ledger import DoubleEntry

OPENING = "Opening balances"


@repeatable
def open_account(body: NewAccount) -> Account:
    """A new account. What is in it comes from the tenant's account for opening balances, so that the books balance."""
    account = Account(
        name=body.name, currency=body.currency, kind=body.kind, overdraft=body.overdraft, owner_id=body.owner_id
    )
    db.session.add(account)
    db.session.flush()
    if body.opening_balance:
        source = _opening_account(body.currency)
        moves = [Move(source.id, -body.opening_balance), Move(account.id, body.opening_balance)]
        DoubleEntry().post(moves, kind="opening", reference=f"opening:{account.id}", memo=OPENING)
        db.session.refresh(account)
    return account


@repeatable
def change(account: Account, body: AccountBody) -> None:
    """Rename, close or open again. ``Refused(CONFLICT)`` for closing one that is not empty."""
    if account.kind == "opening":
        raise Refused(FORBIDDEN, "this account is the board's own")
    if body.status == "closed" and account.balance:
        raise Refused(CONFLICT, f"there are {account.balance} in the account: move them first")
    account.name, account.status = body.name, body.status
    db.session.flush()


def _opening_account(currency: str) -> Account:
    """The tenant's account that opening balances come from, made when it is first needed."""
    wanted = sa.select(Account).where(Account.kind == "opening", Account.currency == currency)
    found = db.session.scalar(wanted)
    if found is None:
        try:
            with db.session.begin_nested():
                found = Account(name=OPENING, currency=currency, kind="opening", overdraft=True)
                db.session.add(found)
        except sa.exc.IntegrityError:  # somebody else has just made it
            found = db.session.scalars(wanted).one()
    return found
