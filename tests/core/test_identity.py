"""The strict verifier: what flask-jwt-extended would let through and the board does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from flask import Flask
from flask_jwt_extended import decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_jwt_extended.tokens import _decode_jwt
from forgery import Forger

from core.contracts import ANONYMOUS, Principal
from core.data.models import new_id
from core.data.tenancy import DEFAULT
from core.errors import Refused
from core.trust.identity import (
    acting_as,
    authenticate,
    current_principal,
    mint_access_token,
    verify_access_token,
)


class EveryoneStands:
    """An authenticator that knows nobody and believes all: here it is the token that counts."""

    def session_stands(self, who: Principal, issued_at: int) -> bool:
        return True


@pytest.fixture
def within(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setattr("core.trust.identity.service", lambda contract: EveryoneStands())
    with app.app_context():
        yield app


def forge(app: Flask, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token signed with the real key, with some of its header or claims changed or (``None``) left out."""
    return Forger(app).token(header, changes)


def refusal(token: str) -> str:
    with pytest.raises(Refused) as caught:
        verify_access_token(token)
    assert caught.value.code.status == 401
    assert "WWW-Authenticate" in caught.value.headers
    return caught.value.code.name


def test_a_minted_token_comes_back_as_its_principal(within: Flask) -> None:
    user, session = new_id(), new_id()
    token, lives = mint_access_token(user, session, DEFAULT.id)
    who = verify_access_token(token)
    assert (who.kind, who.id, who.session_id, who.tenant_id, lives) == ("user", user, session, DEFAULT.id, 900)
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt"
    assert authenticate(f"Bearer {token}") == authenticate(f"bearer {token}") == who


def test_the_forger_of_these_tests_makes_good_tokens(within: Flask) -> None:
    assert verify_access_token(forge(within)).kind == "user"


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "sid", "tid", "jti", "iat", "exp", "type"])
def test_each_claim_must_be_there(within: Flask, claim: str) -> None:
    assert refusal(forge(within, **{claim: None})) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example.com"},
        {"aud": "other"},
        {"aud": ["pegboard", "other"]},
        {"sub": "admin"},
        {"sid": 7},
        {"jti": 7},
        {"type": "refresh"},
        {"exp": "tomorrow"},
        {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
    ],
)
def test_claims_must_be_right(within: Flask, changes: dict[str, Any]) -> None:
    assert refusal(forge(within, **changes)) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"alg": "none"},
        {"alg": "HS512"},
        {"alg": None},
        {"kid": "unknown"},
        {"kid": None},
        {"kid": ["x"]},
        {"crit": ["exp"]},
    ],
)
def test_the_header_must_be_right(within: Flask, header: dict[str, Any]) -> None:
    assert refusal(forge(within, header)) == "TOKEN_INVALID"


def test_expired_is_told_apart(within: Flask) -> None:
    assert refusal(forge(within, exp=int(time.time()) - 1)) == "TOKEN_EXPIRED"


def test_one_that_was_good_is_asked_about_its_time_and_session_again(
    within: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = forge(within)
    who = verify_access_token(token)
    with monkeypatch.context() as never:
        never.setattr("core.trust.identity._decode_jwt", None)
        assert verify_access_token(token) == who, "the very same bytes are not verified twice"
    with monkeypatch.context() as later:
        now = time.time()
        later.setattr("core.trust.identity.time.time", lambda: now + 3600)
        assert refusal(token) == "TOKEN_EXPIRED"
    with monkeypatch.context() as ended:
        ended.setattr(EveryoneStands, "session_stands", lambda self, who, issued_at: False)
        assert refusal(token) == "TOKEN_INVALID"
    head, body, signature = token.split(".")
    assert refusal(f"{head}.{body}.{signature[::-1]}") == "TOKEN_INVALID"


def test_base64_has_one_spelling(within: Flask) -> None:
    head, body, signature = forge(within).split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sloppy = signature[:-1] + last[(last.index(signature[-1]) + 1) % 64]
    for token in (
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{sloppy}",
        f"{head}.{body}.{signature}\n",
        f" {head}.{body}.{signature}",
        f"{head}.{body}",
        f"{head}.{body}.{signature}.x",
        f"{head}..{signature}",
        "x" * 5000,
        "é.é.é",
    ):
        assert refusal(token) == "TOKEN_INVALID"


def test_any_changed_byte_is_refused(within: Flask) -> None:
    token = forge(within)
    for position in range(0, len(token), 7):
        if token[position] != ".":
            changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
            assert refusal(changed) == "TOKEN_INVALID"


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "Bearer ", "token x"])
def test_odd_authorization_headers_are_refused(within: Flask, value: str) -> None:
    with pytest.raises(Refused):
        authenticate(value)


def test_nobody_is_anonymous(within: Flask) -> None:
    assert authenticate(None) is ANONYMOUS
    assert current_principal() is ANONYMOUS
    who = verify_access_token(forge(within))
    with acting_as(who):
        assert current_principal() is who
    assert current_principal() is ANONYMOUS


def outcome(decode: Any) -> Any:
    try:
        return decode()
    except Exception as exc:
        return type(exc)


def test_the_engine_asked_once_answers_as_its_front_door_does(within: Flask) -> None:
    """Each forgery through the engine as we call it and as ``decode_token`` does: the same claims, or both refuse."""
    now = int(time.time())
    verifier = next(iter(within.extensions["pegboard.access_verifiers"].values()))
    claims = ({name: None} for name in ("iss", "aud", "sub", "sid", "tid", "jti", "iat", "exp", "type"))
    wrong: list[dict[str, Any]] = [
        {},
        *claims,
        {"iss": "https://elsewhere.example.com"},
        {"iss": ["x"]},
        {"aud": "other"},
        {"aud": ["pegboard", "other"]},
        {"aud": 7},
        {"sub": 7},
        {"jti": 7},
        {"type": "refresh"},
        {"exp": "tomorrow"},
        {"exp": now - 1},
        {"exp": [now]},
        {"iat": now + 3600},
        {"iat": {}},
        {"nbf": now + 3600},
        {"nbf": "never"},
    ]
    headers: list[dict[str, Any]] = [
        {"typ": "JWT"},
        {"alg": "none"},
        {"alg": "HS512"},
        {"alg": None},
        {"crit": ["exp"]},
    ]
    good = forge(within)
    head, body, _ = good.split(".")
    tokens = [forge(within, **changes) for changes in wrong] + [forge(within, header) for header in headers]
    tokens += [f"{good[:place]}{'A' if good[place] != 'A' else 'B'}{good[place + 1 :]}" for place in range(len(good))]
    tokens += [f"{head}.{body}", f"{head}.{body}.", f"{good}=", f"{good}==", f"{good}\n", f"{good}.x", f"{head}..x", ""]
    for token in tokens:
        asked = {**verifier.asked, "encoded_token": token}
        ours, theirs = (
            outcome(lambda asked=asked: _decode_jwt(**asked)),
            outcome(lambda token=token: decode_token(token)),
        )
        if not isinstance(theirs, type):
            assert ours == theirs
            continue
        # The front door reads claims before it verifies, and so may name another fault first. Never does one let in
        # what the other refuses, and only what is expired, and nothing worse, is called so.
        assert isinstance(ours, type), token
        assert issubclass(ours, (jwt.PyJWTError, JWTExtendedException, ValueError))
        assert (ours is jwt.ExpiredSignatureError) == (theirs is jwt.ExpiredSignatureError)
        assert refusal(token) in ("TOKEN_INVALID", "TOKEN_EXPIRED")
