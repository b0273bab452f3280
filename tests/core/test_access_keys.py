"""The keys of access tokens: how they are read, what is refused of them, what is published, and that none is shown."""

from __future__ import annotations

import re

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from forgery import pem, private_key, public_pem
from log_lines import told
from small_board import small_board

from core import private_keys
from core.config import BoardSettings, Secret, load
from core.data.models import new_id
from core.errors import BootError
from core.telemetry import scrubbing
from core.trust import access_keys, identity

pytestmark = pytest.mark.unit

ENVIRON = {
    "API_URL": "https://board.example.com",
    "SECRET_KEYS": "Tq8vXn2LbY5rKe7WcZ9hUd3MfPj4sAgE6",
    "DATABASE_URL": "postgresql://x",
    "REDIS_URL": "redis://x",
    "MONGODB_URI": "mongodb://x",
}
ALL = "".join(pem(private_key(each)) for each in ("RS256", "ES256", "EdDSA"))
CURVE = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def read(text: str) -> BoardSettings:
    return load({**ENVIRON, "JWT_PRIVATE_KEYS": text})


def algorithms(text: str) -> list[str]:
    return [key.algorithm for key in access_keys.load(read(text)).values()]


@pytest.mark.parametrize(
    "text",
    [
        ALL,
        ALL.replace("\n", "\\n"),
        ALL.replace("\n", "\r\n"),
        ALL.replace("\n", "\\r\\n"),
        "\n\n".join(("", ALL, "")),
        ALL.replace("-----BEGIN", " -----BEGIN"),
    ],
    ids=["lines", "one line", "lines of Windows", "one line of Windows", "empty lines", "spaces between"],
)
def test_keys_are_read_in_order_however_their_lines_end(text: str) -> None:
    assert algorithms(text) == ["RS256", "ES256", "EdDSA", "HS256"]


def test_the_older_forms_of_pem_are_read_too() -> None:
    keys = (pem(private_key(each), PrivateFormat.TraditionalOpenSSL) for each in ("RS256", "ES256"))
    assert algorithms(CURVE.join(("", *keys))) == ["RS256", "ES256", "HS256"]


def test_without_any_the_shared_ones_sign() -> None:
    environ = {**ENVIRON, "SECRET_KEYS": f"{ENVIRON['SECRET_KEYS']},Wd5nQx8RtB3kLm6HvZ9sYc2JfGp7aEuT4"}
    derived = list(access_keys.load(load(environ)))
    own = access_keys.load(load({**environ, "JWT_ACCESS_SECRET": "Zk4mBw9TqL2xVr7NcD5yHs8PgJf3aUeX6"}))
    assert [key.algorithm for key in own.values()] == ["HS256"] * 3
    assert list(own)[1:] == derived


def refused() -> dict[str, tuple[str, str]]:
    """What is wrong, the setting, and what is said of it."""
    weak = pem(rsa.generate_private_key(65537, 1024))
    whole = pem(private_key("RS256"))
    locked = private_key("ES256").private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"passphrase")
    )
    return {
        "a weak RSA key": (weak, "key 1 of 1 is too weak: RSA of 1024 bits"),
        "a weak second key": (ALL + weak, "key 4 of 4 is too weak"),
        "P-384": (pem(ec.generate_private_key(ec.SECP384R1())), "another kind"),
        "secp256k1": (pem(ec.generate_private_key(ec.SECP256K1())), "another kind"),
        "Ed448": (pem(ed448.Ed448PrivateKey.generate()), "another kind"),
        "X25519": (pem(x25519.X25519PrivateKey.generate()), "another kind"),
        "DSA": (pem(dsa.generate_private_key(2048)), "another kind"),
        "a public key": (public_pem(private_key("RS256")).decode(), "is a public key, and not a private key"),
        "a passphrase": (locked.decode(), "is encrypted with a passphrase"),
        "half a key": (whole[:900], "expected PEM private keys"),
        "a key without its middle": (whole[:200] + whole[700:], "key 1 of 1 cannot be read"),
        "a line too few": ("\n".join(whole.split("\n")[:-3] + whole.split("\n")[-2:]), "cannot be read"),
        "no PEM": ("Zk4mBw9TqL2xVr7NcD5yHs8PgJf3aUeX6", "expected PEM private keys"),
        "something beside": (ALL + "Zk4mBw9TqL2xVr7NcD5yHs8PgJf3aUeX6", "expected PEM private keys"),
        "the same key twice": (whole + whole, "the same key stands there twice"),
    }


REFUSED = refused()


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("mode", ["production", "development"])
def test_a_bad_key_stops_the_boot_in_one_line_that_does_not_show_it(what: str, mode: str) -> None:
    text, why = REFUSED[what]
    with pytest.raises(BootError) as caught:
        load({**ENVIRON, "APP_ENV": mode, "JWT_PRIVATE_KEYS": text})
    [fault] = caught.value.faults
    assert fault.startswith("JWT_PRIVATE_KEYS is not acceptable: ")
    assert why in fault
    assert "\n" not in fault
    for line in private_keys.unfolded(text).split("\n"):
        assert len(line) < 12 or "-----" in line or line not in fault


def test_each_bad_key_is_named() -> None:
    weak = REFUSED["a weak RSA key"][0]
    with pytest.raises(BootError) as caught:
        read(weak + ALL + REFUSED["P-384"][0])
    assert [fault.split(": ")[1].split(" is ")[0] for fault in caught.value.faults] == ["key 1 of 5", "key 5 of 5"]


# -- what is published --------------------------------------------------------------------------------------------


def test_thumbprints_are_those_of_the_standards() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    # RFC 7638, 3.1, and RFC 8037, A.3.
    rsa_key = {"n": modulus, "kty": "RSA", "e": "AQAB"}
    assert access_keys.thumbprint(rsa_key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    ed_key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert access_keys.thumbprint(ed_key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_only_what_is_public_is_published() -> None:
    published = access_keys.published(access_keys.load(read(ALL)))
    rsa_key, ec_key, ed_key = published
    common = {"kty", "kid", "alg", "use"}
    assert set(rsa_key) == common | {"n", "e"}
    assert set(ec_key) == common | {"crv", "x", "y"}
    assert set(ed_key) == common | {"crv", "x"}
    assert access_keys.published(access_keys.load(load(ENVIRON))) == []


def test_coordinates_keep_their_leading_zeros() -> None:
    """A coordinate below 2^248 is rare, and readers refuse one that is short (RFC 7518, 6.2.1.2)."""
    for secret in range(1, 3000):
        key = ec.derive_private_key(secret, ec.SECP256R1())
        if key.public_key().public_numbers().x < 2**248:
            break
    else:
        pytest.fail("no such key among the first")
    (published,) = access_keys.published(access_keys.load(read(pem(key))))
    assert (len(published["x"]), len(published["y"])) == (43, 43)


# -- nothing of it is shown ---------------------------------------------------------------------------------------


def lines_of(text: str) -> list[str]:
    return [line for line in text.split("\n") if len(line) > 16 and "-----" not in line]


@pytest.mark.parametrize("text", [ALL, ALL.replace("\n", "\\n")], ids=["lines", "one line"])
def test_no_line_of_a_key_reaches_a_log(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "_known", [])
    settings = read(text)
    assert not any(line in repr(settings) for line in lines_of(ALL))
    scrubbing.hide_settings(settings)
    for line in lines_of(ALL):
        for shown in (f"x {line} y", repr(ALL), ALL, text, repr(msgspec.json.encode(text))):
            assert line not in scrubbing.scrub(shown)
    assert not any(line in scrubbing.scrub("x" * 20_000 + ALL + "y" * 12_000) for line in lines_of(ALL))
    assert not any(line in str(told("read %s", text, extra={"why": [text]})) for line in lines_of(ALL))


def test_prepared_keys_do_not_show_themselves() -> None:
    settings = read(ALL)
    for shown in (repr(access_keys.load(settings)), repr(private_keys.read(str(settings.jwt_private_keys)))):
        assert not re.search(r"object at|BEGIN|\bb'", shown)


# -- prepared once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_nothing_is_parsed_when_a_token_is_verified(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives import serialization
    from jwt import algorithms as engine

    app = small_board(jwt_private_keys=Secret(pem(private_key(algorithm))))
    with app.app_context():
        token, _ = identity.mint_access_token(new_id(), new_id(), new_id())
        for module in (serialization, engine):
            for name in ("load_pem_private_key", "load_pem_public_key", "load_ssh_public_key"):
                monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("a key was parsed"))
        assert identity.verify_access_token(token).kind == "user"
        assert identity.mint_access_token(new_id(), new_id(), new_id())
