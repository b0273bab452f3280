"""JSON Merge Patch (RFC 7396): what is named changes, ``null`` takes away, what is left out stays as it is.

A patch is checked twice: its own fields by a Struct in which each may be missing or null, and then the whole that it
makes by the Struct of the full body, whose defaults take the place of what was taken away.
"""

from __future__ import annotations

import types
import typing
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from core.web.bodies import Body, struct
from core.web.validation import fault_of, refusal_of


@lru_cache(maxsize=256)
def patch_type(whole: type[msgspec.Struct]) -> type[Body]:
    """The Struct of a patch to ``whole``: the same fields, each optional and nullable, and so on within."""
    annotations: dict[str, Any] = {}
    namespace: dict[str, Any] = {"__module__": whole.__module__, "__annotations__": annotations}
    for field in msgspec.structs.fields(whole):
        annotations[field.name] = typing.Union[_within(field.type), None, msgspec.UnsetType]  # noqa: UP007
        namespace[field.name] = msgspec.field(default=msgspec.UNSET, name=field.encode_name)
    namespace["__doc__"] = f"Changes to {whole.__name__}: null takes away, what is left out stays (RFC 7396)."
    return struct(f"{whole.__name__}Patch", Body, namespace)


def _within(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return patch_type(kind)
    if typing.get_origin(kind) is Annotated:
        inner, *notes = typing.get_args(kind)
        return Annotated[_within(inner), *notes]
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return typing.Union[tuple(_within(part) for part in typing.get_args(kind))]  # noqa: UP007
    return kind


def patched(current: msgspec.Struct | dict[str, Any], patch: msgspec.Struct, whole: type[msgspec.Struct]) -> Any:
    """``current`` with the patch upon it, as ``whole``. ``Refused(VALIDATION_FAILED)`` where that is not acceptable."""
    merged = _merge(msgspec.to_builtins(current), msgspec.to_builtins(patch))
    try:
        return msgspec.convert(merged, whole)
    except msgspec.ValidationError as exc:
        raise refusal_of(fault_of(exc)) from None


def _merge(target: Any, patch: Any) -> Any:
    """RFC 7396 §2, word for word."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged
