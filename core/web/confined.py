"""A blueprint that keeps to itself: every rule serves an endpoint, and nothing that it declares acts on other plugins.

Flask's blueprints reach the whole app through ``before_app_request``, ``app_errorhandler`` and the like; these are
refused. Rules that cannot be added are collected, so that a board names all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from flask import Blueprint
from flask.blueprints import BlueprintSetupState

from core.errors import BootError
from core.web.endpoint import Endpoint
from core.web.signature import RULE_PARAMETER

if TYPE_CHECKING:
    from flask.sansio.app import App

CONVERTERS = "string, int, float, path, uuid or any(…)"


class Confined(Blueprint):
    """What ``Routes`` is made of."""

    def __init__(self, name: str, package: str, **options: Any) -> None:
        prefix = options.get("url_prefix")
        if prefix is not None and not prefix.startswith("/"):
            raise BootError(f"url_prefix={prefix!r} begins with no slash; write url_prefix={'/' + prefix!r}")
        super().__init__(name, package, **options)
        self.misfits: list[str] = []

    def make_setup_state(self, app: App, options: dict[str, Any], first_registration: bool = False) -> _Setup:
        return _Setup(self, app, options, first_registration)

    def register(self, app: App, options: dict[str, Any]) -> None:
        """Raises ``BootError`` with every rule that could not be added."""
        self.misfits.clear()
        super().register(app, options)
        if self.misfits:
            raise BootError(*self.misfits)


class _Setup(BlueprintSetupState):
    blueprint: Confined

    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
        if not isinstance(view_func, Endpoint):
            self.blueprint.misfits.append(
                f"{self.blueprint.import_name}: {rule!r} serves {view_func!r}, about which nothing is known;"
                " declare it with @routes.get, @routes.post and the like"
            )
            return
        try:
            super().add_url_rule(rule, endpoint, view_func, **options)
        except Exception as exc:
            self.blueprint.misfits.append(f"{view_func.name}: {_misfit(rule, exc)}")


def _misfit(rule: str, exc: Exception) -> str:
    """Why a rule cannot be added, and the cure."""
    if twice := _named_twice(rule):
        return f"rule {rule!r} has <{twice}> twice; give each parameter a name of its own"
    if isinstance(exc, LookupError):
        converter = re.findall(r"'([^']*)'", str(exc))
        told = f"the converter {converter[0]!r}, which does not exist" if converter else str(exc)
        return f"rule {rule!r} uses {told}; use {CONVERTERS}"
    if isinstance(exc, AssertionError):
        name = str(exc).rpartition(".")[2]
        return f"another view of this plugin has the endpoint {name!r}; rename one, or give it endpoint= of its own"
    if isinstance(exc, TypeError):
        return f"rule {rule!r}: {exc}; leave that option out"
    return f"rule {rule!r}: {exc}; write it as '/books/<uuid:book_id>'"


def _named_twice(rule: str) -> str | None:
    names = RULE_PARAMETER.findall(rule)
    return next((name for name in names if names.count(name) > 1), None)


# -- what would act on the whole board ------------------------------------------------------------------------------


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(self: Confined, *args: Any, **options: Any) -> NoReturn:
        raise BootError(
            f"@routes.{name} would act on the whole board; a plugin answers for its own routes, take it out"
        )

    return refuse


for _name in (
    "app_context_processor",
    "app_errorhandler",
    "app_url_defaults",
    "app_url_value_preprocessor",
    "after_app_request",
    "before_app_request",
    "register_blueprint",
    "teardown_app_request",
):
    setattr(Confined, _name, _refused(_name))
