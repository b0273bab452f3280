"""A view's signature is its contract: what it takes from path, query string and body, and what it replies.

``body: SomeStruct`` is parsed from JSON, ``query: SomeStruct`` from the query string, any other parameter comes from
the path. The return annotation is the reply: a type (200), ``Reply[T]`` and its kin, ``None`` (204), or a Flask
``Response``, which is sent as it is. ``Created[T] | Accepted[U]`` says that it is one or the other.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from types import NoneType
from typing import Any

import msgspec
from werkzeug.wrappers import Response

from core.web.bodies import Body, TolerantBody, body_parser
from core.web.queries import query_parser
from core.web.replies import Reply

RULE_PARAMETER = re.compile(r"<(?:[^:<>]+:)?([A-Za-z_]\w*)>")
_UNIONS = (typing.Union, types.UnionType)
_NOT_BY_NAME: dict[Any, str] = {
    inspect.Parameter.POSITIONAL_ONLY: "stands before a /",
    inspect.Parameter.VAR_POSITIONAL: "has a *",
    inspect.Parameter.VAR_KEYWORD: "has a **",
}
BODILESS = frozenset({"GET", "HEAD"})


class Signature:
    """Read once, when the board is mounted. ``faults`` is empty for a signature that can be served."""

    def __init__(self, view: Callable[..., Any], rule: str, methods: tuple[str, ...], *, pages: bool) -> None:
        self.path: dict[str, Any] = {}
        self.query: Any = None
        self.body: Any = None
        self.reply: Any = None
        self.wrapper: type[Reply[Any]] | None = None
        self.status = 200
        self.others: dict[type[Reply[Any]], Any] = {}  # further replies, where there are several: wrapper -> body
        self.raw = False
        self.faults: list[str] = []
        try:
            hints = typing.get_type_hints(view, include_extras=True)
        except Exception as exc:
            self.faults.append(f"its annotations cannot be resolved: {exc}; import every name that they use")
            return
        self._read_parameters(view, hints, set(RULE_PARAMETER.findall(rule)))
        self._read_reply(hints, pages)
        if self.body is not None and BODILESS.intersection(methods):
            self.faults.append("it takes a body on GET: use a query instead")
        self.parse_body = self._made(body_parser, self.body)
        self.parse_query = self._made(query_parser, self.query)

    def _read_parameters(self, view: Callable[..., Any], hints: dict[str, Any], in_rule: set[str]) -> None:
        parameters = inspect.signature(view).parameters
        names = list(parameters)
        for name, parameter in parameters.items():
            if odd := _NOT_BY_NAME.get(parameter.kind):
                self.faults.append(f"parameter {name!r} {odd}: arguments come by name, so write each as a plain one")
            elif name not in hints:
                self.faults.append(f"parameter {name!r} has no annotation: say its type")
            elif name == "body" and name not in in_rule:
                self.body = hints[name]
            elif name == "query" and name not in in_rule:
                self.query = hints[name]
            elif name in in_rule:
                self.path[name] = hints[name]
            else:
                self.faults.append(f"parameter {name!r} is not in the rule: add <{name}> to it")
        for name in sorted(in_rule.difference(names)):
            self.faults.append(f"the rule has <{name}>, the view no such parameter: add {name}")
        for role in ("body", "query"):
            kind = getattr(self, role)
            if _is_struct(kind) and not issubclass(kind, Body | TolerantBody):
                self.faults.append(f"{role}: {kind.__name__} is no Body: make it a subclass of core.web.Body")
        if self.query is not None and not _is_struct(self.query):
            self.faults.append("query: it is described by a subclass of core.web.Body")

    def _read_reply(self, hints: dict[str, Any], pages: bool) -> None:
        if "return" not in hints:
            self.faults.append("it has no return annotation: say what it replies, or None for 204")
            return
        hint = hints["return"]
        origin = typing.get_origin(hint) or hint
        if origin in _UNIONS and all(_is_reply(part) for part in typing.get_args(hint)):
            hint, *others = typing.get_args(hint)
            origin = typing.get_origin(hint) or hint
            for other in others:
                wrapper = typing.get_origin(other) or other
                self.others[wrapper] = self._body_of(other, wrapper)
        if hint is NoneType:
            self.status = 204
        elif (isinstance(origin, type) and issubclass(origin, Response)) or (pages and hint is str):
            self.raw = True
        elif isinstance(origin, type) and issubclass(origin, Reply):
            self.wrapper, self.status = origin, origin.status
            self.reply = self._body_of(hint, origin)
        else:
            self.reply = hint

    def _body_of(self, hint: Any, wrapper: type[Reply[Any]]) -> Any:
        if wrapper.status == 204:
            return None
        if typing.get_args(hint):
            return typing.get_args(hint)[0]
        self.faults.append(f"{wrapper.__name__} says nothing of its body: write {wrapper.__name__}[…]")
        return None

    def _made(self, maker: Callable[[Any], Any], kind: Any) -> Any:
        """The parser of a type, ``None`` without one."""
        if kind is None or self.faults:
            return None
        try:
            return maker(kind)
        except Exception as exc:
            self.faults.append(f"{kind!r} cannot be parsed: {exc}")
            return None


def _is_reply(hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint
    return isinstance(origin, type) and issubclass(origin, Reply)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
