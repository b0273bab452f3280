"""What a resource asks of where its rows are kept; ``sql_store`` answers for tables.

Rows come as tuples, in the order of the fields that were asked for; entities are what changes are made on. All of it
happens in the current unit of work and tenant. A scope holds as in ``core.trust.scopes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from core.contracts import ALL, ResourceType, Scope
from core.web.resource.conditions import Asked, Condition

Deleted = Literal["exclude", "include", "only"]


class Sort(NamedTuple):
    """One field and a direction; the id breaks ties, the same way."""

    field: str
    descending: bool

    @classmethod
    def of(cls, text: str) -> Sort:
        return cls(text.removeprefix("-"), text.startswith("-"))


class Wanted(NamedTuple):
    """Which rows a list is of. ``after`` is the place of the last row seen: its sort value and its id."""

    fields: tuple[str, ...]
    sort: Sort
    limit: int
    asked: Asked = Asked((), ())
    scope: Scope = ALL
    scopes: Mapping[str, Scope] = {}  # of the relations that are asked about
    after: tuple[Any, UUID] | None = None
    search: str | None = None
    deleted: Deleted = "exclude"


class Store(Protocol):
    """Where the rows of one ResourceType are kept."""

    declared: ResourceType
    soft: bool
    versioned: bool

    def faults(self, fields: Iterable[str], sorts: Iterable[Sort], search: str | None) -> list[str]:
        """Why these fields cannot be shown, sorted or searched, each with its cure."""
        ...

    def nullable(self) -> frozenset[str]:
        """The fields that may be null."""
        ...

    def kind_of(self, field: str) -> Any:
        """The Python type of a field's values."""
        ...

    def rows(self, wanted: Wanted) -> Sequence[Sequence[Any]]: ...

    def count(self, wanted: Wanted, how: Literal["exact", "planned"]) -> int: ...

    def one(
        self, id: UUID, fields: tuple[str, ...], scope: Scope, deleted: Deleted = "exclude"
    ) -> Sequence[Any] | None: ...

    def beside(
        self, name: str, keys: Sequence[Any], scope: Scope, conditions: tuple[Condition, ...]
    ) -> Mapping[Any, list[Sequence[Any]]]:
        """The rows of one include, by what they are found by; one more than the limit where there are more."""
        ...

    def locked(self, id: UUID, scope: Scope, deleted: Deleted) -> Any | None:
        """The entity, kept from others until the unit ends."""
        ...

    def added(self, values: Mapping[str, Any]) -> Any: ...

    def added_many(self, values: Sequence[Mapping[str, Any]]) -> Sequence[Any]: ...

    def changed(self, entity: Any, values: Mapping[str, Any]) -> None: ...

    def removed(self, entity: Any) -> None: ...

    def is_deleted(self, entity: Any) -> bool: ...

    def restored(self, entity: Any) -> None: ...

    def attempt(self) -> AbstractContextManager[None]:
        """What fails within is undone alone."""
        ...
