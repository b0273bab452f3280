"""A plugin's tables at boot: under its prefix, on the board's bases, apart as ``core.data.migrations`` says."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import sqlalchemy as sa

from core.data.migrations.rules import table_faults
from core.data.models import db, mappers


def faults(name: str, package: str, models: ModuleType | None) -> list[str]:
    """What is wrong with the tables that a plugin's modules have made so far, one line each."""
    made = {table.name: table for table in _tables(package, models)}
    outside = [
        f"plugin {name}: table {table!r} is outside its prefix; call it {name}_{table.partition('_')[2] or table}"
        for table in sorted(made)
        if not table.startswith(f"{name}_")
    ]
    strange = [
        f"plugin {name}: {cls.__module__}.{cls.__name__} is not on the board's base, so no session and no migration"
        " knows it; derive it from core.data.TenantModel, or from GlobalModel"
        for cls in _classes(models)
        if cls.__table__.metadata is not db.metadata
    ]
    rules = [f"plugin {name}: {fault}" for fault in table_faults(db.metadata, [name])] if made else []
    return outside + strange + rules


def _tables(package: str, models: ModuleType | None) -> list[sa.Table]:
    """Those of the package's mapped classes, and bare ones that ``models.py`` names."""
    found = [
        mapper.local_table
        for mapper in mappers()
        if f"{mapper.class_.__module__}.".startswith(f"{package}.") and isinstance(mapper.local_table, sa.Table)
    ]
    bare = [value for value in vars(models).values() if isinstance(value, sa.Table)] if models else []
    return found + bare


def _classes(models: ModuleType | None) -> list[Any]:
    """The mapped classes that ``models.py`` itself declares."""
    if models is None:
        return []
    mapped = [value for value in vars(models).values() if isinstance(getattr(value, "__table__", None), sa.Table)]
    return [cls for cls in mapped if isinstance(cls, type) and cls.__module__ == models.__name__]
