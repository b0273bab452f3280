"""Taking one's data along, and being forgotten."""

from __future__ import annotations

from core.data import in_steps
from core.trust import signed_in
from core.web import Accepted, keyless, limited
from core.web.openapi import refuses
from plugins.auth.api import LAST_ADMIN, TOO_MANY_ATTEMPTS, WRONG_PASSWORD
from plugins.auth.schemas import EraseMe, MyData, Told
from plugins.auth.services import personal
from plugins.auth.views.calling import at_home, caller
from plugins.auth.views.routes import routes


@routes.get("/me/export")
@signed_in
@limited("10/hour")
@in_steps
def export_me() -> MyData:
    """Everything that is kept of you, by plugin."""
    with at_home() as who:
        return personal.export(who)


@routes.post("/me/erase")
@signed_in
@keyless
@limited("10/hour")
@refuses(WRONG_PASSWORD, LAST_ADMIN, TOO_MANY_ATTEMPTS)
@in_steps
def erase_me(body: EraseMe) -> Accepted[Told]:
    """Close your account at once; what is kept of you is erased soon after, in every plugin. There is no way back."""
    with at_home() as who:
        return Accepted(personal.ask_erasure(who, body.password, caller()))
