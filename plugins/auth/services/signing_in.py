"""What somebody gets who has signed in: an access token, and the refresh token that its session stands at."""

from __future__ import annotations

from uuid import UUID

from core.data import current_tenant
from core.trust import mint_access_token
from plugins.auth import refresh_tokens
from plugins.auth.models import Session, User
from plugins.auth.refresh_tokens import RefreshToken
from plugins.auth.schemas import SignedIn, UserReply


def of_new_session(user: User, session: Session) -> SignedIn:
    return signed_in(UserReply(user.id, user.email, user.display_name), session.id, session.counter)


def signed_in(user: UserReply, session_id: UUID, counter: int) -> SignedIn:
    tenant_id = current_tenant().id
    access, seconds = mint_access_token(user.id, session_id, tenant_id)
    return SignedIn(
        access_token=access,
        refresh_token=refresh_tokens.mint(RefreshToken(tenant_id, session_id, counter)),
        expires_in=seconds,
        session_id=session_id,
        user=user,
    )
