"""What a client sees of a row: all of its fields or some, computed ones, and others' rows beside it.

``out`` is the author's Struct. A list, or one row, may be asked for with ``fields=`` and ``include=``; its items are
then of a second Struct, with the same fields, of which each may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from core.contracts import ResourceType

Row = Sequence[Any]
Build = Callable[[Row], Any]

ALWAYS = "id"


class Computed(NamedTuple):
    """An output field made of columns: ``Computed(("first", "last"), lambda first, last: f"{first} {last}")``."""

    columns: tuple[str, ...]
    make: Callable[..., Any]


class Many(NamedTuple):
    """Rows that refer to this one, for ``include=`` and, by ``filters``, for conditions such as ``orders.total[gt]``.

    ``of`` is their ResourceType, whose permission and scope hold for them too, or a bare model, which goes wherever
    its parent goes. At most ``limit`` stand beside each row, in the order of ``sort``; ``<name>_more`` tells of others.
    """

    of: Any
    out: type[msgspec.Struct]
    by: str
    sort: str = "-created_at"
    limit: int = 100
    filters: tuple[str, ...] = ()

    @property
    def model(self) -> Any:
        return self.of.model if isinstance(self.of, ResourceType) else self.of


class One(NamedTuple):
    """The row that this one refers to in its column ``by``; ``null`` where there is none, or none to be seen."""

    of: Any
    out: type[msgspec.Struct]
    by: str

    @property
    def model(self) -> Any:
        return self.of.model if isinstance(self.of, ResourceType) else self.of


Include = Many | One


class Shape:
    """The output of one resource: which columns each choice of fields needs, and how a row becomes an item."""

    def __init__(self, out: type[msgspec.Struct], computed: dict[str, Computed], include: dict[str, Include]) -> None:
        self.out = out
        self.names = out.__struct_fields__
        self.computed = computed
        self.item = _item(out, include) if include or len(self.names) > 1 else out
        self._made: dict[tuple[str, ...] | None, tuple[tuple[str, ...], Build]] = {}

    def columns(self) -> tuple[str, ...]:
        """Every column that the whole output is made of."""
        return self.of(None)[0]

    def of(self, wanted: tuple[str, ...] | None) -> tuple[tuple[str, ...], Build]:
        """The columns to read for these fields (``None``: all), and what makes an item of such a row."""
        made = self._made.get(wanted)
        if made is None:
            made = self._made[wanted] = self._make(wanted)
        return made

    def whole(self, row: Any) -> Any:
        """A loaded entity as ``out``."""
        return self.out(
            **{
                name: self.computed[name].make(*(getattr(row, column) for column in self.computed[name].columns))
                if name in self.computed
                else getattr(row, name)
                for name in self.names
            }
        )

    def _make(self, wanted: tuple[str, ...] | None) -> tuple[tuple[str, ...], Build]:
        names = [name for name in self.names if wanted is None or name in wanted or name == ALWAYS]
        columns: dict[str, int] = {}
        for name in names:
            for column in self.computed[name].columns if name in self.computed else (name,):
                columns.setdefault(column, len(columns))
        if wanted is None and not self.computed:
            item = self.item
            return tuple(columns), lambda row: item(*row)
        return tuple(columns), self._by_name(names, columns)

    def _by_name(self, names: list[str], columns: dict[str, int]) -> Build:
        plain = [(name, columns[name]) for name in names if name not in self.computed]
        made = [
            (name, self.computed[name].make, [columns[column] for column in self.computed[name].columns])
            for name in names
            if name in self.computed
        ]

        def build(row: Row) -> Any:
            values = {name: row[index] for name, index in plain}
            for name, make, indices in made:
                values[name] = make(*(row[index] for index in indices))
            return self.item(**values)

        return build


def _item(out: type[msgspec.Struct], include: dict[str, Include]) -> type[msgspec.Struct]:
    """``out`` with each field but the id left out at will, and a field for each include."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(out):
        if field.name == ALWAYS:
            fields.append((field.name, field.type))
        else:
            fields.append((field.name, field.type | msgspec.UnsetType, msgspec.UNSET))
    for name, told in include.items():
        beside: Any = list[told.out] if isinstance(told, Many) else told.out | None  # type: ignore[name-defined]
        fields.append((name, beside | msgspec.UnsetType, msgspec.UNSET))
        if isinstance(told, Many):
            fields.append((f"{name}_more", bool | msgspec.UnsetType, msgspec.UNSET))
    doc = f"{out.__name__}, with those fields alone that were asked for, and what was included."
    named = f"{out.__name__.removesuffix('Out')}Item"
    return msgspec.defstruct(named, fields, namespace={"__doc__": doc}, module=out.__module__)
