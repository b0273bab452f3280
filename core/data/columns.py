"""Columns that many tables want: a version for ``If-Match``, and a time of deletion instead of an end.

``class Book(Versioned, SoftDeleted, TenantModel)``: the mixins stand before the base.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, declared_attr, mapped_column


class Versioned:
    """``version``: 1 for a new row, one more with each change that the ORM writes; the ``ETag`` of the row."""

    version: Mapped[int] = mapped_column(sa.Integer, sort_order=80)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}


class SoftDeleted:
    """``deleted_at``: the row is gone for everybody and can be restored. Unique keys: ``postgresql_where=live()``."""

    deleted_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), default=None, sort_order=92)


def live() -> sa.ColumnElement[bool]:
    """The condition of a unique index under which deleted rows do not stand in the way of new ones."""
    return sa.literal_column("deleted_at is null")
