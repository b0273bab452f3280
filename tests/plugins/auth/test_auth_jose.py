"""The attacks of ``jose_attacks`` and ``jose_contents``: each is refused, by the verifier and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jose_contents as jose_contents
import pytest
from auth_helpers import PASSWORD
from flask import Flask
from forgery import Forger, pem, private_key
from jose_attacks import ATTACKS, Forgers

from core.app import create_app
from core.data.redis import clear_caches
from core.errors import Refused
from core.ops.testbed import TestServers, empty_everything, let_go
from core.trust.identity import verify_access_token

ALGORITHMS = ("RS256", "ES256", "EdDSA", "HS256")


@pytest.fixture(scope="module")
def signing(servers: TestServers) -> Iterator[Flask]:
    """A board with a private key of each kind, and the shared one that it had before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JWT_PRIVATE_KEYS", "".join(pem(private_key(each)) for each in ALGORITHMS[:3]))
        patch.setenv("RATE_LIMIT", "0")
        board = create_app("web")
    empty_everything(servers)
    with board.app_context():
        clear_caches()
    yield board
    let_go(board)


@pytest.fixture(scope="module")
def forgers(signing: Flask) -> Forgers:
    """One for each algorithm, in the name of somebody who has an account."""
    account = {"email": "alice@example.com", "password": PASSWORD, "display_name": "Alice"}
    reply = signing.test_client().post("/api/auth/register", json=account)
    assert reply.status_code == 201, reply.text
    claims = {"sub": reply.json["user"]["id"], "sid": reply.json["session_id"]}
    return {each: Forger(signing, each, **claims) for each in ALGORITHMS}


def ask(board: Flask, token: str) -> Any:
    """Past the test client's own checks of headers: a server may be laxer."""
    return board.test_client().get("/api/auth/me", environ_overrides={"HTTP_AUTHORIZATION": f"Bearer {token}"})


def refused(board: Flask, token: str) -> str:
    """The code by which the verifier and the route both refuse it."""
    with board.app_context(), pytest.raises(Refused) as caught:
        verify_access_token(token)
    assert caught.value.code.status == 401
    assert caught.value.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    reply = ask(board, token)
    assert (reply.status_code, reply.json["code"]) == (401, caught.value.code.name)
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    return caught.value.code.name


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_the_forger_signs_unchanged_is_good(signing: Flask, forgers: Forgers, algorithm: str) -> None:
    """Otherwise the attacks below could be refused for another reason than theirs."""
    assert ask(signing, forgers[algorithm].token()).status_code == 200
    assert ask(signing, forgers[algorithm].token(claims={"another": [1, {"x": 2}]})).status_code == 200


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(signing: Flask, forgers: Forgers, name: str) -> None:
    assert refused(signing, ATTACKS[name](forgers)) == "TOKEN_INVALID"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_expired_is_told_apart(signing: Flask, forgers: Forgers, algorithm: str) -> None:
    assert refused(signing, forgers[algorithm].token(claims={"iat": 1, "exp": 61})) == "TOKEN_EXPIRED"


def test_any_changed_letter_is_refused(signing: Flask, forgers: Forgers) -> None:
    for algorithm in ALGORITHMS:
        token = forgers[algorithm].token()
        for place in range(0, len(token), 11):
            if token[place] != ".":
                changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
                assert refused(signing, changed) == "TOKEN_INVALID"


def test_the_list_is_whole() -> None:
    """An attack that was lost on the way would be missed by nobody."""
    for word in ("alg 'nOnE'", "JWK", "SQL", "jku", "x5c", "crit", "nbf", "audience", "issuer", "typ", "twice", "NUL"):
        assert any(word in name for name in ATTACKS), word
    assert len(ATTACKS) > 190
