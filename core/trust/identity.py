"""Who is asking: the current principal, and a strict verifier around flask-jwt-extended's access tokens.

The engine alone accepts any ``typ``, missing ``iss``/``aud``/``jti`` and padded base64; what it lets through is
held here to RFC 9068 (``at+jwt``) and to our own keys by ``kid``, each with its one algorithm.
"""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import jwt
import msgspec
from flask import Flask, current_app
from flask_jwt_extended import JWTManager, create_access_token
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_jwt_extended.tokens import _decode_jwt
from msgspec import Meta

from core.config import BoardSettings
from core.contracts import ANONYMOUS, Authenticator, Principal, service
from core.data.scoped import Scoped
from core.errors import TOKEN_EXPIRED, TOKEN_INVALID, Refused
from core.trust import access_keys, secrets
from core.trust.access_keys import AccessKey

ACCESS_TTL = timedelta(minutes=15)
AUDIENCE = "pegboard"
TOKEN_TYPE = "at+jwt"
MAX_TOKEN_LENGTH = 4096
KNOWN_TOKENS = 1000
"""Verified ones that a process remembers, about half a kilobyte each."""
CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)

_principal: ContextVar[Principal] = ContextVar("principal", default=ANONYMOUS)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token's header; ``crit`` and whatever else would ask for more than we understand is refused."""

    alg: str
    typ: str
    kid: str


class Claims(msgspec.Struct, frozen=True):
    """What an access token must say, each with its type; RFC 9068 plus session, tenant and the engine's ``type``."""

    iss: str
    aud: str
    sub: UUID
    sid: UUID
    tid: UUID
    jti: Annotated[str, Meta(pattern=r"\A[!-~]{1,100}\Z")]
    iat: int
    exp: int
    type: str
    nbf: int = 0


def current_principal() -> Principal:
    """Who this request, frame or job acts for; anonymous where nobody is signed in."""
    return _principal.get()


def acting_as(who: Principal) -> AbstractContextManager[Principal]:
    """Do what follows in the name of ``who``."""
    return Scoped(_principal, who)


def init_app(app: Flask) -> None:
    """Prepare keys and the JWT engine."""
    board: BoardSettings = app.extensions["pegboard.settings"]
    keys = access_keys.load(board)
    first = next(iter(keys.values()))
    app.config.update(
        JWT_ALGORITHM=first.algorithm,
        JWT_DECODE_ALGORITHMS=sorted({key.algorithm for key in keys.values()}),
        JWT_ACCESS_TOKEN_EXPIRES=ACCESS_TTL,
        JWT_ENCODE_ISSUER=board.api_url,
        JWT_DECODE_ISSUER=board.api_url,
        JWT_ENCODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_COOKIE_CSRF_PROTECT=False,
    )
    engine = JWTManager(app)
    engine.encode_key_loader(lambda identity: first.signs)
    engine.decode_key_loader(lambda header, claims: keys[header["kid"]].verifies)
    engine.additional_headers_loader(lambda identity: {"kid": first.kid, "typ": TOKEN_TYPE})
    app.extensions["pegboard.access_verifiers"] = {kid: _Verifier(key, _asked(app, key)) for kid, key in keys.items()}
    app.extensions["pegboard.access_keys"] = keys
    app.extensions["pegboard.known_tokens"] = _Known()


class _Verifier(NamedTuple):
    """A key, and what the engine is asked with it: put together once, not for each token."""

    key: AccessKey
    asked: Mapping[str, Any]


def _asked(app: Flask, key: AccessKey) -> Mapping[str, Any]:
    return {
        "secret": key.verifies,
        "algorithms": [key.algorithm],
        "audience": AUDIENCE,
        "issuer": app.config["JWT_DECODE_ISSUER"],
        "identity_claim_key": app.config["JWT_IDENTITY_CLAIM"],
        "leeway": app.config["JWT_DECODE_LEEWAY"],
        "verify_aud": True,
        "verify_sub": app.config["JWT_VERIFY_SUB"],
        "csrf_value": "",
        "allow_expired": False,
    }


def public_keys() -> list[Mapping[str, str]]:
    """What verifies our tokens elsewhere, as the keys of a JWK Set; none while all keys are shared secrets."""
    return access_keys.published(current_app.extensions["pegboard.access_keys"])


def mint_access_token(user_id: UUID, session_id: UUID, tenant_id: UUID) -> tuple[str, int]:
    """A signed access token and the seconds that it lives."""
    token = create_access_token(str(user_id), additional_claims={"sid": str(session_id), "tid": str(tenant_id)})
    return token, int(ACCESS_TTL.total_seconds())


def verify_access_token(text: str) -> Principal:
    """The principal behind a token. Raises ``Refused``: TOKEN_EXPIRED or TOKEN_INVALID (401).

    What the very same bytes say, and that their signature is good, is remembered; whether their time is over and their
    session stands is asked each time.
    """
    known: _Known = current_app.extensions["pegboard.known_tokens"]
    digest = sha256(text.encode(errors="surrogatepass")).digest()
    found = known.get(digest)
    if found is None:
        who, claims = read_access_token(text)
        known.keep(digest, who, claims)
        return who
    who, claims = found
    if claims.exp <= time.time() - current_app.config["JWT_DECODE_LEEWAY"]:
        raise Refused(TOKEN_EXPIRED, headers=CHALLENGE)
    if not service(Authenticator).session_stands(who, claims.iat):
        raise _invalid()
    return who


class _Known:
    """Tokens that were verified, by a digest of their text; the one that was unused for longest goes first."""

    def __init__(self) -> None:
        self._found: OrderedDict[bytes, tuple[Principal, Claims]] = OrderedDict()

    def get(self, digest: bytes) -> tuple[Principal, Claims] | None:
        found = self._found.pop(digest, None)
        if found is not None:
            self._found[digest] = found
        return found

    def keep(self, digest: bytes, who: Principal, claims: Claims) -> None:
        self._found[digest] = who, claims
        while len(self._found) > KNOWN_TOKENS:
            self._found.popitem(last=False)


def read_access_token(text: str) -> tuple[Principal, Claims]:
    """As ``verify_access_token``, with what the token says."""
    header, claims = _strict_parts(text)
    if header.typ != TOKEN_TYPE or claims.type != "access":
        raise _invalid()
    verifier: _Verifier | None = current_app.extensions["pegboard.access_verifiers"].get(header.kid)
    if verifier is None or header.alg != verifier.key.algorithm:
        raise _invalid()
    try:
        # What the engine's decode_token comes to, once. That decodes a token twice more, unverified, to let a loader
        # choose the key; tests hold the two to the same answers.
        _decode_jwt(encoded_token=text, **verifier.asked)
    except jwt.ExpiredSignatureError:
        raise Refused(TOKEN_EXPIRED, headers=CHALLENGE) from None
    except (jwt.PyJWTError, JWTExtendedException, ValueError):
        raise _invalid() from None
    who = Principal("user", claims.sub, claims.tid, claims.sid)
    if not service(Authenticator).session_stands(who, claims.iat):
        raise _invalid()
    return who, claims


def authenticate(authorization: str | None) -> Principal:
    """The principal of an ``Authorization`` header (RFC 6750): anonymous without one, ``Refused`` for a bad one."""
    if not authorization:
        return ANONYMOUS
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "bearer" or not credential:
        raise _invalid()
    return verify_access_token(credential)


def _strict_parts(text: str) -> tuple[Header, Claims]:
    """Header and claims, before any signature is checked, if each part is base64url in its only spelling.

    RFC 7515, appendix C: no padding; and no name twice in an object, of which readers take now the first, now the
    last. What the engine would fill in by itself must be there in writing.
    """
    if len(text) > MAX_TOKEN_LENGTH or not _COMPACT.fullmatch(text):
        raise _invalid()
    try:
        header, claims, _ = (secrets.decode64(part) for part in text.split("."))
        parts = _read_header(header), _read_claims(claims)
        _refuse_repeats(header.decode())
        _refuse_repeats(claims.decode())
    except (ValueError, RecursionError):
        raise _invalid() from None
    return parts


_read_header = msgspec.json.Decoder(Header).decode
_read_claims = msgspec.json.Decoder(Claims).decode


def _once(members: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in members}) < len(members):
        raise ValueError("a name stands twice in one object")


_refuse_repeats = json.JSONDecoder(object_pairs_hook=_once).decode


def _invalid() -> Refused:
    return Refused(TOKEN_INVALID, headers=CHALLENGE)
