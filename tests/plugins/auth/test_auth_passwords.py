"""Which passwords may be chosen, and hashes that other systems made."""

from __future__ import annotations

from typing import Any

import bcrypt
import psycopg
import pytest
from auth_helpers import PASSWORD, SignUp, code
from flask import Flask
from flask.testing import FlaskClient

from plugins.auth.common_passwords import _common, is_common
from plugins.auth.hashers import Bcrypt
from plugins.auth.passwords import hashed, matches, outdated

ALICE = {"email": "alice@example.com", "display_name": "Alice"}


def test_the_list_is_long() -> None:
    assert len(_common()) >= 10_000
    assert all(is_common(word) for word in ("password", "12345678", "qwertyuiop", "Password1", "ILOVEYOU"))
    assert not is_common(PASSWORD)


@pytest.mark.parametrize("password", ["password", "PASSWORD", "12345678", "trustno1", "ｐａｓｓｗｏｒｄ"])
def test_common_passwords_are_refused_wherever_one_is_chosen(client: FlaskClient, password: str) -> None:
    reply = client.post("/api/auth/register", json=ALICE | {"password": password})
    assert code(reply) == (422, "VALIDATION_FAILED")
    assert reply.get_json()["errors"][0]["code"] == "TOO_COMMON"


def test_a_bcrypt_hash_lets_its_owner_in_and_is_replaced(
    client: FlaskClient, sign_up: SignUp, superuser: psycopg.Connection[Any]
) -> None:
    sign_up()
    for cost in (4, 12):
        known = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(cost)).decode()
        superuser.execute("update auth_users set password_hash = %s", (known,))
        wrong = client.post("/api/auth/login", json={"email": ALICE["email"], "password": "wrong horse"})
        assert wrong.status_code == 401
        assert superuser.execute("select password_hash from auth_users").fetchone() == (known,)
        right = client.post("/api/auth/login", json={"email": ALICE["email"], "password": PASSWORD})
        assert right.status_code == 200
        (fresh,) = superuser.execute("select password_hash from auth_users").fetchone() or ("",)
        assert fresh.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert client.post("/api/auth/login", json={"email": ALICE["email"], "password": PASSWORD}).status_code == 200


def test_bcrypt_compares_no_password_in_part(ctx: Flask) -> None:
    known = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert matches("x" * 72, known)
    assert not matches("x" * 73, known)
    assert not matches("x" * 71, known)
    assert not Bcrypt().verify(bcrypt.hashpw(b"abcdefgh", bcrypt.gensalt(4)).decode(), b"abcdefgh\0tail")


def test_hashes_of_ours_at_other_costs_are_replaced_and_garbage_verifies_nothing(ctx: Flask) -> None:
    from argon2 import PasswordHasher

    assert not outdated(hashed(PASSWORD))
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    assert matches(PASSWORD, cheap) and outdated(cheap)
    for garbage in (
        "$2b$12$short",
        "$2b$",
        "$argon2id$",
        "$1$md5$x",
        "plain",
        "$argon2i$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA",
    ):
        assert not matches(PASSWORD, garbage), garbage
