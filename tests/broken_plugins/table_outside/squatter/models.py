"""A table that is not called after the plugin."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.data import TenantModel


class Lodger(TenantModel):
    __tablename__ = "elsewhere_lodgers"

    name: Mapped[str] = mapped_column(sa.Text)
