"""What a function must be that the board calls by itself: tasks, listeners and duties are held to it as it boots."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any

from core.errors import BootError


def call_faults(function: Callable[..., Any]) -> list[str]:
    """Why calling it would do nothing: none of its work would be done, and nobody would hear of it."""
    if isinstance(function, type):
        return ["is a class; write a function"]
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return ["is async, and nothing here would await it; write it with def alone"]
    if inspect.isgeneratorfunction(function):
        return ["has a yield, so that a call of it does nothing; put what yields into a function that this calls"]
    return []


def signature_faults(function: Callable[..., Any], given: tuple[Any, ...], said: str) -> list[str]:
    """Why it cannot be called with ``given``, which ``said`` puts into words."""
    signature = inspect.signature(function)
    try:
        signature.bind(*given)
    except TypeError:
        names = ", ".join(signature.parameters) or "nothing"
        return [f"takes {names}, and is called with {said}; change its parameters, or give them defaults"]
    return []


def annotation_fault(exc: Exception) -> str:
    """What to say of a function whose annotations ``typing.get_type_hints`` could not read."""
    if isinstance(exc, NameError):
        return f"has an annotation that is not there at run time ({exc}); import it outside TYPE_CHECKING"
    told = exc.msg if isinstance(exc, SyntaxError) else exc
    return f"has an annotation that cannot be read ({type(exc).__name__}: {told}); correct it"


def first_hint(function: Callable[..., Any]) -> Any:
    """The annotation of its first parameter; ``Any`` where there is none, or none that can be read."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:
        return Any
    return hints.get(next(iter(inspect.signature(function).parameters), ""), Any)


def refuse_second(function: Callable[..., Any], mark: str) -> None:
    """``BootError`` where its module has another function of this name and mark, which this one is about to replace."""
    if function.__qualname__ != function.__name__:
        return
    before = vars(sys.modules.get(function.__module__, object)).get(function.__name__)
    if before is None or not hasattr(before, mark):
        return
    lines = [getattr(getattr(each, "__code__", None), "co_firstlineno", 0) for each in (before, function)]
    if lines[0] != lines[1]:  # a module that is read again defines the same function in the same place
        raise BootError(
            f"{function.__module__}:{function.__name__} is there twice, in lines {lines[0]} and {lines[1]},"
            " and the second would replace the first; rename one"
        )
