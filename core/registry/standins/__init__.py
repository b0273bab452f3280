"""A small working answer to each contract that has one: used until a plugin that provides it is switched on.

They make every plugin testable alone and a bare board usable: built-in roles and deny otherwise, mail and objects as
files in the instance folder, no limits. Each is made on first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from flask import Flask

from core.contracts import (
    Authenticator,
    Authorizer,
    Images,
    Mailer,
    ObjectStore,
    PersonalData,
    Quota,
    Services,
    TenantDirectory,
    UserDirectory,
)

# Imported at once: a table has to be known to migrations before anyone asks the authorizer anything.
from core.registry.standins import assignments as assignments

NAME = "board"

ANSWERS: dict[type, str] = {
    Authorizer: "authorizer:BuiltInRoles",
    Authenticator: "people:NoCredentials",
    UserDirectory: "people:Nobody",
    TenantDirectory: "people:OneTenant",
    Quota: "people:NoLimits",
    Images: "people:NoImages",
    Mailer: "mail:MailFolder",
    ObjectStore: "objects:ObjectFolder",
}


def init_app(app: Flask) -> None:
    """Put a stand-in under every contract; what a plugin provides is found before it."""
    services: Services = app.extensions["pegboard.services"]
    for contract, target in ANSWERS.items():
        services.provide(contract, NAME, _maker(target))
    # No stand-in: of this contract there are many answers, and the board's own is one of them.
    services.provide(PersonalData, NAME, _maker("personal:BoardData"))
    plugins = app.extensions["pegboard.registry"].on
    if app.extensions["pegboard.kind"] == "web" and not any(ObjectStore in entry.plugin.provides for entry in plugins):
        from core.registry.standins.objects import PREFIX, routes

        app.register_blueprint(routes, url_prefix=PREFIX)


def _maker(target: str) -> Callable[[], Any]:
    module, _, name = target.partition(":")
    return lambda: getattr(importlib.import_module(f"{__name__}.{module}"), name)()
