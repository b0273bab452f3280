"""Transfers: money from one account to another, once."""

from __future__ import annotations

from core.contracts import Authorizer, service
from core.data import db, repeatable
from core.errors import NOT_FOUND, VALIDATION_FAILED, FieldFault, Refused
from core.trust import current_principal
from plugins.commerce.api import Move
from plugins.commerce.models import Transfer
from plugins.commerce.schemas import NewTransfer
from plugins.commerce.services.ledger import DoubleEntry


@repeatable
def transfer(body: NewTransfer) -> Transfer:
    """Move money out of an account that the caller may write to.

    ``Refused``: NOT_FOUND for an account that is not there or not the caller's, VALIDATION_FAILED, INSUFFICIENT_FUNDS,
    ACCOUNT_CLOSED.
    """
    if body.from_account_id == body.to_account_id:
        fault = FieldFault("$.to_account_id", "INVALID", "is the account that the money comes from")
        raise Refused(VALIDATION_FAILED, "to_account_id: is the account that the money comes from", fields=(fault,))
    who = current_principal()
    if not service(Authorizer).decide(who, "accounts:write", "account", body.from_account_id):
        # Said as of one that is not there, so that nobody finds out whose accounts exist.
        raise Refused(NOT_FOUND, f"there is no account {body.from_account_id}")
    moves = [Move(body.from_account_id, -body.amount), Move(body.to_account_id, body.amount)]
    posted = DoubleEntry().post(moves, kind="transfer", memo=body.memo)
    made = Transfer(
        owner_id=who.id,
        from_account_id=body.from_account_id,
        to_account_id=body.to_account_id,
        amount=body.amount,
        currency=posted.currency,
        memo=body.memo,
        posting_id=posted.id,
    )
    db.session.add(made)
    db.session.flush()
    return made
