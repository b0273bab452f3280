"""One route, and the journey of each request to it.

who → tenant → rate limit → may they → parse and validate → the view in one unit of work → the reply is encoded →
commit → reply. A body is read before the unit opens, so that no slow client holds a connection; a reply is encoded
before the commit, so that one which cannot be encoded leaves nothing behind.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from typing import Any
from uuid import UUID

from flask import Response, current_app, g, make_response, request

from core.contracts import ANONYMOUS, Principal
from core.data.repeating import is_repeatable, repeating
from core.data.tenancy import acting_in
from core.data.unit import unit
from core.errors import CSRF_FAILED, Refused
from core.trust import limits
from core.trust.identity import acting_as, authenticate
from core.trust.limits import Verdict
from core.trust.permissions import Marks, enforce, marks_of
from core.web import idempotency
from core.web.bodies import MERGE_PATCH, read_json, read_merge_patch
from core.web.csrf import SAFE, by_cookie
from core.web.edge import audit_acting, tenant_of
from core.web.forms import read_form, takes_form
from core.web.queries import path_value
from core.web.replies import Reply, not_modified, of_exception, respond
from core.web.signature import Signature
from core.web.throttling import Limit, Throttle


def _odd_kind(view: Callable[..., Any]) -> str:
    """What a function is whose body does not run when it is called."""
    if inspect.iscoroutinefunction(view):
        return "async"
    return "a generator" if inspect.isgeneratorfunction(view) or inspect.isasyncgenfunction(view) else ""


class Endpoint:
    """What Flask calls for a route; made when the route is declared, its signature read when it is mounted.

    ``name`` is ``module:function``, ``rule`` the rule without the plugin's prefix, ``marks`` what the decorators say.
    """

    def __init__(self, view: Callable[..., Any], rule: str, methods: tuple[str, ...], *, pages: bool = False) -> None:
        self.view = view
        self.rule = rule
        self.methods = methods
        self.pages = pages
        self.plugin = ""
        self.marks: Marks = marks_of(view)
        self.name = f"{view.__module__}:{view.__qualname__}"
        self.__name__ = view.__name__
        self.__module__ = view.__module__
        self.__doc__ = view.__doc__

    # -- what it is, for the mounting and the OpenAPI document --------------------------------------------------

    @cached_property
    def signature(self) -> Signature:
        return Signature(self.view, self.rule, self.methods, pages=self.pages)

    @property
    def summary(self) -> str:
        """The first line of the docstring, else the function's name in words."""
        return (self.view.__doc__ or "").strip().partition("\n")[0] or self.__name__.replace("_", " ").capitalize()

    @property
    def description(self) -> str:
        """The docstring after its first line."""
        lines = (self.view.__doc__ or "").strip().partition("\n")[2].splitlines()
        return "\n".join(line.strip() for line in lines).strip()

    @property
    def public(self) -> bool:
        return self.marks.access == "public"

    @property
    def limits(self) -> list[Limit]:
        return self.marks.notes.get("limits", [])

    @property
    def in_steps(self) -> bool:
        return getattr(self.view, "__in_steps__", False)

    @property
    def keyed(self) -> bool:
        """Whether ``Idempotency-Key`` counts here."""
        return "POST" in self.methods and not self.marks.tenantless and not self.marks.notes.get("keyless")

    def faults(self) -> list[str]:
        """Why the board must not start with this route: one line each, with its place and its cure."""
        found = list(self.signature.faults)
        if odd := _odd_kind(self.view):
            found.append(
                f"it is {odd}, and a view is called once and answers: write a plain def that returns the reply"
            )
        if self.marks.access is None:
            found.append('nobody is said to may call it: add @public, @signed_in or @requires("word:action")')
        resource = self.marks.id_parameter
        if resource is not None and self.signature.path.get(resource) is not UUID:
            found.append(f"@requires(…, id={resource!r}) names no path parameter of type UUID: add {resource}: UUID")
        return [f"{self.name}: {fault}" for fault in found]

    # -- the journey --------------------------------------------------------------------------------------------

    def __call__(self, **given: Any) -> Response:
        verdicts: list[Verdict] = []
        try:
            reply = self._identified(given, verdicts)
        except Exception as exc:
            reply = of_exception(exc)
        if verdicts:
            reply.headers.update(limits.headers(*verdicts))
        return reply

    @cached_property
    def _read(self) -> Callable[[Any, int], bytes]:
        if takes_form(self.marks):
            return read_form
        return read_merge_patch if self.marks.notes.get("media") == MERGE_PATCH else read_json

    @cached_property
    def _throttle(self) -> Throttle:
        return Throttle(self.name, self.limits)

    def _identified(self, given: dict[str, Any], verdicts: list[Verdict]) -> Response:
        who = self._who(verdicts)
        with acting_as(who):
            if self.marks.tenantless:
                return self._answered(given, who, verdicts)
            try:
                tenant = tenant_of(who)
            except Refused:
                # Whoever tries one tenant after another is counted as well.
                self._throttle.before(who, verdicts)
                raise
            with acting_in(tenant):
                return self._answered(given, who, verdicts)

    def _who(self, verdicts: list[Verdict]) -> Principal:
        """Who is calling, by ``Authorization`` or, without it, by cookie.

        On a public route a credential that has run out counts as none: so one signs in again. So does a cookie without
        its ``X-CSRF-Token``: another site may have sent that request, and gets what anybody would get there, but
        nothing in the name of the browser's owner.
        """
        credential = request.environ.get("HTTP_AUTHORIZATION")
        try:
            return authenticate(credential) if credential else by_cookie()
        except Refused as refusal:
            if refusal.code.status != 401 and refusal.code is not CSRF_FAILED:
                raise
            if not self.public:
                self._throttle.before(ANONYMOUS, verdicts)
                raise
            return ANONYMOUS

    def _answered(self, given: dict[str, Any], who: Principal, verdicts: list[Verdict]) -> Response:
        """The reply or the problem, told while tenant and principal still stand, so that the log names them."""
        try:
            self._throttle.before(who, verdicts)
            if who.kind == "anonymous":
                enforce(who, self.marks)
            audit_acting()
            signature = self.signature
            raw = b"" if signature.body is None else self._read(request, current_app.config["MAX_CONTENT_LENGTH"])
            if self.in_steps:
                return not_modified(self._in_steps(given, who, raw, verdicts))
            safe = request.method in SAFE
            if not safe and not is_repeatable(self.view):
                return not_modified(self._in_one_unit(given, who, raw, verdicts))
            return not_modified(repeating(lambda: self._in_one_unit(given, who, raw, verdicts), changes=not safe))
        except Exception as exc:
            return of_exception(exc)

    def _in_one_unit(self, given: dict[str, Any], who: Principal, raw: bytes, verdicts: list[Verdict]) -> Response:
        with unit():
            arguments, claim = self._prepared(given, who, raw, verdicts)
            if claim is None:
                return self._called(arguments)
            if claim.replay is not None:
                return claim.replay
            try:
                reply = self._called(arguments)
            except Refused as refusal:
                if refusal.keep:
                    claim.release()
                raise
            claim.keep(reply)
            return reply

    def _in_steps(self, given: dict[str, Any], who: Principal, raw: bytes, verdicts: list[Verdict]) -> Response:
        with unit():
            arguments, claim = self._prepared(given, who, raw, verdicts)
        if claim is None:
            return self._called(arguments)
        if claim.replay is not None:
            return claim.replay
        try:
            reply = self._called(arguments)
        except Exception:
            with unit():
                claim.release()
            raise
        with unit():
            claim.keep(reply)
        return reply

    def _prepared(
        self, given: dict[str, Any], who: Principal, raw: bytes, verdicts: list[Verdict]
    ) -> tuple[dict[str, Any], idempotency.Claim | None]:
        """May they? Then the view's arguments, and the request's idempotency key, if it has one."""
        signature = self.signature
        arguments = {name: path_value(given[name], kind) for name, kind in signature.path.items()}
        if self.marks.permission is not None:
            resource = self.marks.id_parameter
            enforce(who, self.marks, arguments[resource] if resource else None)
        if signature.query is not None:
            arguments["query"] = signature.parse_query(request.query_string)
        if signature.body is not None:
            arguments["body"] = signature.parse_body(raw)
        if not g.get("pegboard_counted"):  # a unit that is run again is one request all the same
            g.pegboard_counted = True
            self._throttle.after(arguments, verdicts)
        key = idempotency.given_key() if self.keyed else None
        return arguments, None if key is None else idempotency.claim(key, raw)

    def _called(self, arguments: dict[str, Any]) -> Response:
        value = self.view(**arguments)
        signature = self.signature
        if signature.raw:
            return make_response(value)
        if isinstance(value, Reply):
            fits = type(value) is signature.wrapper or type(value) in signature.others
        else:
            fits = signature.wrapper is None and (value is None) == (signature.status == 204)
        if not fits:
            raise TypeError(f"{self.name} replied with {type(value).__name__}, which is not what its signature says")
        return respond(value)
