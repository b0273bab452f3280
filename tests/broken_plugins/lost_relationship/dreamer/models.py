"""A relationship with a model that nobody has."""

from typing import Any

from sqlalchemy.orm import Mapped, relationship

from core.data import TenantModel


class Dream(TenantModel):
    __tablename__ = "dreamer_dreams"

    sleeper: Mapped[Any] = relationship("Sleeper")
