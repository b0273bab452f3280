"""Credentials, for the board and for plugins that let people in in a way of their own; answers ``Authenticator``.

API keys and socket tickets are nobody's yet.
"""

from __future__ import annotations

from contextlib import nullcontext
from uuid import UUID

from core.contracts import Principal
from core.data import unit, unit_or_none
from core.errors import TOKEN_INVALID, Refused
from plugins.auth.callers import NOBODY
from plugins.auth.services import sessions, standing


class Credentials:
    def session_stands(self, who: Principal, issued_at: int) -> bool:
        return standing.stands(who)

    def begin_session(self, user_id: UUID) -> UUID:
        """``Refused``: NOT_FOUND, INVALID_CREDENTIALS for one who is switched off, RESET_REQUIRED."""
        with nullcontext() if unit_or_none() else unit():
            return sessions.begin(sessions.locked(user_id), NOBODY).id

    def by_api_key(self, key: str) -> Principal:
        raise Refused(TOKEN_INVALID)

    def by_ticket(self, ticket: str) -> Principal:
        raise Refused(TOKEN_INVALID)
