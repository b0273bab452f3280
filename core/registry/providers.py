"""Whether an implementation can be called as its contract says: by position and by name, with and without options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

NAMELESS = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL})


def faults(contract: type, made: Any) -> Iterator[str]:
    """What keeps ``made`` from answering ``contract``, a few words each."""
    lacking = [word for word in _words(contract) if not hasattr(made, word)]
    if lacking:
        yield f"lacks {', '.join(lacking)}; add them"
    for word in _words(contract):
        wanted, found = vars(contract)[word], getattr(made, word, None)
        if word in lacking or not inspect.isfunction(wanted):
            continue
        if not callable(found):
            yield f"has {word} = {found!r}, which cannot be called; make it a method"
        elif inspect.iscoroutinefunction(found):
            yield f"has an async {word}, and nobody awaits it; write a plain def"
        elif why := _misfit(wanted, found):
            asked = inspect.signature(wanted).replace(return_annotation=inspect.Signature.empty)
            yield f"cannot be called as {word}{_plain(asked)}: {why}; take the contract's parameters"


def _words(contract: type) -> list[str]:
    return [word for word in vars(contract) if not word.startswith("_")]


def _misfit(wanted: Callable[..., Any], found: Callable[..., Any]) -> str:
    """Why a call that the contract allows would fail; empty where none does."""
    parameters = list(inspect.signature(wanted).parameters.values())[1:]
    try:
        own = inspect.signature(found)
    except (TypeError, ValueError):
        return ""  # made outside Python: nothing is known of it
    for some in (parameters, [each for each in parameters if each.default is each.empty]):
        places = [each for each in some if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        names = [each for each in some if each.kind is each.KEYWORD_ONLY]
        calls = (
            ([None] * len(places), {each.name: None for each in names}),
            (
                [None] * sum(each.kind in NAMELESS for each in places),
                {each.name: None for each in [*places, *names] if each.kind not in NAMELESS},
            ),
        )
        for positions, named in calls:
            try:
                own.bind(*positions, **named)
            except TypeError as exc:
                return str(exc)
    return ""


def _plain(signature: inspect.Signature) -> str:
    """The parameters without ``self`` and annotations."""
    parameters = [each.replace(annotation=each.empty) for each in list(signature.parameters.values())[1:]]
    return str(signature.replace(parameters=parameters))
