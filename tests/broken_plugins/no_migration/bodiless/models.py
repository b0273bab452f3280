"""A table."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.data import TenantModel


class Thing(TenantModel):
    __tablename__ = "bodiless_things"

    name: Mapped[str] = mapped_column(sa.Text)
