"""Filling a settings class from the environment; the faults are collected, and say what would have been acceptable.

``core.config`` is where others import this from.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from core.errors import BootError
from core.settings_forms import shown

S = TypeVar("S")

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNIONS = (typing.Union, types.UnionType)
_LIMITS = {
    "ge": "of at least",
    "gt": "above",
    "le": "of at most",
    "lt": "below",
    "multiple_of": "divisible by",
    "min_length": "and at least",
    "max_length": "and at most",
}


class Secret(str):
    """A string that does not show itself in logs, reprs or tracebacks."""

    def __repr__(self) -> str:
        return "Secret(…)"


class Misdeclared(Exception):
    """A settings class that no environment could fill: its author's mistake, with the cure."""


def env(name: str | None = None, *, default: Any = dataclasses.MISSING, doc: str = "") -> Any:
    """A settings field with a documented meaning, and a variable name of its own where a standard one exists."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"env({name!r}): a variable's name is a text; a default is written env(default={name!r})")
    if name is not None and not VARIABLE.fullmatch(name):
        raise ValueError(f"env({name!r}): a variable's name has letters, digits and _ alone, such as STRIPE_SECRET_KEY")
    return dataclasses.field(default=default, metadata={"env": name, "doc": doc})


def variables(cls: type, prefix: str = "") -> Iterator[tuple[dataclasses.Field[Any], str]]:
    """Each field of a settings class with the environment variable that fills it."""
    for field in dataclasses.fields(cls):
        yield field, field.metadata.get("env") or f"{prefix}{field.name}".upper()


def read(cls: type[S], environ: Mapping[str, str], prefix: str = "") -> S:
    """Fill ``cls`` from ``environ``; an empty variable counts as unset. Raises ``BootError`` with all faults."""
    settings, faults = gather(cls, environ, prefix)
    if faults or settings is None:
        raise BootError(*faults)
    return settings


def gather(cls: type[S], environ: Mapping[str, str], prefix: str = "") -> tuple[S | None, list[str]]:
    """``cls`` as far as it can be filled, and every fault, those of its ``check()`` included.

    What could not be read holds its default, or an empty value. ``check`` sees that too, so that it can speak of all
    the others; what it says of made-up values, and how it may stumble over them, is passed over.

    Raises ``Misdeclared`` for a class that cannot be one of settings.
    """
    hints = _hints(cls)
    values: dict[str, Any] = {}
    faults: list[str] = []
    unread: set[str] = set()
    for field, variable in variables(cls, prefix):
        hint, text = hints[field.name], environ.get(variable, "").strip()
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if text:
            try:
                values[field.name] = _parse(text, hint)
                continue
            except msgspec.ValidationError as exc:
                faults.append(_unacceptable(variable, text, hint, exc))
        elif required:
            faults.append(f"{variable} is not set: {field.metadata.get('doc') or 'it is required'}")
        else:
            continue
        unread.add(variable)
        if required:
            values[field.name] = _nothing(hint)
    settings: S | None = None
    try:
        settings = cls(**values)
        for fault in _checked(settings):
            if unread.isdisjoint(re.findall(r"\w+", fault)):
                faults.append(fault)
    except Misdeclared:
        raise
    except Exception:
        if not unread:
            raise
    return settings, faults


def _hints(cls: type) -> dict[str, Any]:
    """The annotations of a settings class, each of which a text can be turned into."""
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception as exc:
        raise Misdeclared(f"its annotations cannot be resolved: {exc}; import every name that they use") from exc
    for field in dataclasses.fields(cls):
        try:
            msgspec.json.Decoder(hints[field.name], dec_hook=_construct)
        except Exception as exc:
            told = f"{field.name} cannot be read from a text: {exc}"
            raise Misdeclared(f"{told}; take str, int, float, bool, Secret, a Literal, or a tuple of these") from exc
    return hints


def _construct(kind: Any, given: Any) -> Any:
    return kind(given)


def _checked(settings: Any) -> Iterator[str]:
    check = getattr(settings, "check", None)
    if check is None:
        return
    found = check()
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise Misdeclared(f"check() answers {found!r}; yield each fault as a text, and nothing where all is well")
    for fault in found:
        if not isinstance(fault, str):
            raise Misdeclared(f"check() yields {fault!r}; yield each fault as a text")
        yield fault


def _parse(text: str, hint: Any) -> Any:
    value: Any = text
    if typing.get_origin(_bare(hint)) is tuple:
        value = [part.strip() for part in text.split(",") if part.strip()]
    return msgspec.convert(value, hint, strict=False, dec_hook=_construct)


def _nothing(hint: Any) -> Any:
    """An empty value of that kind, for a field that has no other."""
    hint = _bare(hint)
    origin = typing.get_origin(hint)
    if origin is Literal:
        return typing.get_args(hint)[0]
    kind = origin or hint
    return kind() if kind in (str, Secret, int, float, bool, tuple) else None


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _is_secret(hint: Any) -> bool:
    if typing.get_origin(hint) in (*_UNIONS, tuple, Annotated):
        return any(_is_secret(part) for part in typing.get_args(hint))
    return isinstance(hint, type) and issubclass(hint, Secret)


# -- saying it in words -------------------------------------------------------------------------------------------


def _unacceptable(variable: str, text: str, hint: Any, exc: msgspec.ValidationError) -> str:
    wanted = _wanted(hint)
    if _is_secret(hint):  # the library's words may quote what they complain of
        return f"{variable} is not acceptable" + (f": expected {wanted}" if wanted else "; it is not shown here")
    return f"{variable} {shown(text)} is not acceptable: {f'expected {wanted}' if wanted else exc}"


def _wanted(hint: Any) -> str:
    """In plain words what a field takes; empty where only the library that parses it can say."""
    notes = [note for note in typing.get_args(hint)[1:] if isinstance(note, Meta)]
    bare = _bare(hint)
    origin, arguments = typing.get_origin(bare), typing.get_args(bare)
    if origin in _UNIONS:
        parts = [_wanted(part) for part in arguments if part is not types.NoneType]
        return _either(parts) if all(parts) else ""
    if origin is tuple:
        one = _wanted(arguments[0]) if len(arguments) == 2 and arguments[1] is Ellipsis else ""
        return one and f"{one}; several with commas between{_within(notes)}"
    if origin is Literal:
        return _either([str(value) for value in arguments])
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        return _either([str(member.value) for member in bare])
    if bare is bool:
        return "true or false"
    if bare in (int, float):
        return ("a whole number" if bare is int else "a number") + _within(notes)
    return ""


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _within(notes: Sequence[Meta]) -> str:
    """The limits of a number, or of how many there may be."""
    limits = {name: value for note in notes for name in _LIMITS if (value := getattr(note, name)) is not None}
    said = [f"from {limits.pop('ge')} to {limits.pop('le')}"] if {"ge", "le"} <= limits.keys() else []
    said += [f"{_LIMITS[name]} {value}" for name, value in limits.items()]
    return " " + ", ".join(said) if said else ""
