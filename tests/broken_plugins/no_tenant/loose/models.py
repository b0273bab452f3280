"""A table on another base, and one whose key reaches across tenants."""

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.data import TenantModel


class OwnBase(DeclarativeBase):
    pass


class Stranger(OwnBase):
    __tablename__ = "loose_strangers"

    id: Mapped[int] = mapped_column(sa.Integer, primary_key=True)


class Name(TenantModel):
    __tablename__ = "loose_names"

    name: Mapped[str] = mapped_column(sa.Text, unique=True)
