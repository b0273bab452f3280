"""A foreign key to a neighbour's table."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.data import TenantModel


class Bite(TenantModel):
    __tablename__ = "leech_bites"
    __table_args__ = (sa.ForeignKeyConstraint(["tenant_id", "user_id"], ["auth_users.tenant_id", "auth_users.id"]),)

    user_id: Mapped[UUID] = mapped_column(sa.Uuid)
