"""Roles that wait in a link until it is redeemed: ``role`` in one of `flask auth admin`, ``roles`` in an invitation.

An invitation says ``by`` whom it was made, and ``staff`` where that is somebody of the platform's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.data import db
from plugins.auth.models import Link


def roles_in(details: Mapping[str, Any]) -> set[str]:
    """The roles that a link with these details promises."""
    return {role for role in (details.get("role"), *details.get("roles", ())) if role}


def waiting(user_id: UUID) -> set[str]:
    """The roles that somebody would get by following a link that is still good."""
    good = sa.select(Link.details).where(
        Link.user_id == user_id, Link.used_at.is_(None), Link.expires_at > sa.func.now()
    )
    return {role for details in db.session.scalars(good) for role in roles_in(details)}
