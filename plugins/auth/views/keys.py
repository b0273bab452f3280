"""For services beside the board: the keys that its tokens are verified with, and whether one is good."""

from __future__ import annotations

import msgspec

from core.data import in_steps
from core.trust import public, requires, tenantless
from core.trust.identity import public_keys
from core.web import Reply, etag_of, keyless
from core.web.forms import form_too
from plugins.auth.schemas import Introspect, Introspection, KeySet, PublicKey
from plugins.auth.services import introspection
from plugins.auth.views.routes import routes, well_known

CACHED = {"Cache-Control": "public, max-age=300"}
"""A new key is published this long before it signs: docs/operators/secrets.md."""


@well_known.get("/jwks.json")
@public
@tenantless
def jwks() -> Reply[KeySet]:
    """The public keys that access tokens are verified with.

    A JWK Set (RFC 7517); empty while the board signs with a secret that nobody else has.
    """
    keys = KeySet([msgspec.convert(key, PublicKey) for key in public_keys()])
    return Reply(keys, etag=etag_of(msgspec.json.encode(keys)), headers=CACHED)


@routes.post("/introspect")
@requires("tokens:introspect")
@keyless  # a kept reply would go on calling a token good
@form_too
@in_steps
def introspect(body: Introspect) -> Introspection:
    """Whether a token is good, and what it says.

    RFC 7662: a form, or the same as JSON. `{"active": false}` for whatever is not good in this tenant, and no reason.
    """
    return introspection.introspect(body.token)
