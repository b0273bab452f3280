"""Mistakes in the files of a plugin that Python or SQLAlchemy notice: their words, the author's line, one line each."""

from __future__ import annotations

from pathlib import Path

import pytest
from slips import told

pytestmark = pytest.mark.unit

MODELS = """from uuid import UUID
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from core.data import TenantModel
"""
KEY = "mapped_column(sa.ForeignKey('nope'))"
NO_COLUMN = "which names no column; write ForeignKey('table.column')"
NULLS = "source code string cannot contain null bytes"
HERE = "({}/models.py, line {}); correct it there"
WRONG = {
    "tableless": (
        {"models": MODELS + "class A(TenantModel):\n    text: Mapped[str]\n"},
        "tableless.models cannot be imported: InvalidRequestError: Class <class 'tableless.models.A'> does not have a"
        " __table__ or __tablename__ specified and does not inherit from an existing table-mapped class. "
        + HERE.format("tableless", 5),
    ),
    "oddcolumn": (
        {"models": MODELS + "class B(TenantModel):\n    __tablename__ = 'odd_bs'\n    x: Mapped[dict[str, object]]"},
        "oddcolumn.models cannot be imported: MappedAnnotationError: Could not locate SQLAlchemy Core type when"
        " resolving for Python type indicated by 'dict[str, object]' inside the Mapped[] annotation for the 'x'"
        " attribute; the type object is not resolvable by the registry " + HERE.format("oddcolumn", 5),
    ),
    "nocolumn": (
        {"models": f"{MODELS}class C(TenantModel):\n    __tablename__ = 'nocolumn_cs'\n    x: Mapped[UUID] = {KEY}"},
        f"table nocolumn_cs: fk_nocolumn_cs_x refers to 'nope', {NO_COLUMN}",
    ),
    "manylines": (
        {"views": "raise ValueError('one\\ntwo')"},
        "manylines.views cannot be imported: ValueError: one two (manylines/views.py, line 1); correct it there",
    ),
    "nullbyte": (
        {"views": "x = 1\n\0"},
        f"nullbyte.views cannot be imported: SyntaxError: {NULLS} (nullbyte/views.py, line 2); correct the file",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return told(tmp_path_factory.mktemp("slips"), {name: parts for name, (parts, _) in WRONG.items()})


@pytest.mark.parametrize("name", WRONG)
def test_it_is_told_in_one_line_with_its_cure(name: str, said: dict[str, list[str]]) -> None:
    assert said[name] == [WRONG[name][1]]


def test_one_table_named_twice(tmp_path: Path) -> None:
    table = "class {}(TenantModel):\n    __tablename__ = 'twin_as'\n"
    [line] = told(tmp_path, {"twin": {"models": MODELS + table.format("A") + table.format("B")}})["twin"]
    assert line.startswith("twin.models cannot be imported: InvalidRequestError: Table 'twin_as' is already defined")
    assert line.endswith(HERE.format("twin", 7))
