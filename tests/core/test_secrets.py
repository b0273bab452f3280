"""Keys per purpose: what one key made, only the same purpose and the same bytes open again."""

import string
from collections.abc import Iterator

import pytest
from flask import Flask
from hypothesis import given, settings, strategies as st

from core.config import BoardSettings, Secret
from core.trust import secrets
from core.trust.secrets import BadSignature

pytestmark = pytest.mark.unit

OLD, NEW = Secret("an older secret of forty characters ....."), Secret("a newer secret of forty characters .....")

purposes = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
ALPHABET = string.ascii_letters + string.digits + "-_"


def board(*keys: Secret) -> Flask:
    app = Flask("bare")
    app.extensions["pegboard.settings"] = BoardSettings(
        app_env="development", secret_keys=keys, database_url="-", redis_url="-", mongodb_uri="-"
    )
    return app


@pytest.fixture(autouse=True, scope="module")
def in_context() -> Iterator[None]:
    with board(NEW, OLD).app_context():
        yield


@given(purposes, st.binary(max_size=300))
@settings(deadline=None)
def test_what_is_signed_verifies(purpose: str, data: bytes) -> None:
    assert secrets.verify(purpose, secrets.sign(purpose, data)) == data


@given(purposes, st.binary(max_size=300))
@settings(deadline=None)
def test_what_is_sealed_opens_and_shows_nothing(purpose: str, data: bytes) -> None:
    text = secrets.seal(purpose, data)
    assert secrets.open_sealed(purpose, text) == data
    assert text != secrets.seal(purpose, data)
    assert len(data) < 4 or secrets.encode64(data) not in text


@given(purposes, purposes, st.binary(max_size=50))
@settings(deadline=None)
def test_another_purpose_is_refused(purpose: str, other: str, data: bytes) -> None:
    if purpose == other:
        return
    with pytest.raises(BadSignature):
        secrets.verify(other, secrets.sign(purpose, data))
    with pytest.raises(BadSignature):
        secrets.open_sealed(other, secrets.seal(purpose, data))


@given(st.binary(max_size=40), st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_character_is_refused(data: bytes, draw: st.DataObject) -> None:
    for make, read in ((secrets.sign, secrets.verify), (secrets.seal, secrets.open_sealed)):
        text = make("test", data)
        place = draw.draw(st.integers(0, len(text) - 1))
        other = draw.draw(st.sampled_from([c for c in ALPHABET + ".=+/ \n\x00é\ud800" if c != text[place]]))
        for changed in (
            text[:place] + other + text[place + 1 :],
            text[:place] + other + text[place:],
            text[:place] + text[place + 1 :],
        ):
            with pytest.raises(BadSignature):
                read("test", changed)


@given(st.text(max_size=80))
@settings(deadline=None)
def test_garbage_is_refused_and_never_breaks(text: str) -> None:
    for read in (secrets.verify, secrets.open_sealed, secrets.reseal):
        for given_text in (text, f"{secrets.key_id(NEW)}.{text}", f"{secrets.key_id(NEW)}.{text}.{text}"):
            with pytest.raises(BadSignature):
                read("test", given_text)


def test_every_character_of_a_text_matters() -> None:
    for make, read in ((secrets.sign, secrets.verify), (secrets.seal, secrets.open_sealed)):
        text = make("test", b"some data")
        for place in range(len(text)):
            for other in ALPHABET:
                if other != text[place]:
                    with pytest.raises(BadSignature):
                        read("test", text[:place] + other + text[place + 1 :])


def test_signing_and_sealing_do_not_share_keys_with_derive() -> None:
    signed = secrets.sign("same", b"data")
    with pytest.raises(BadSignature):
        secrets.open_sealed("same", signed.rpartition(".")[0])
    derived = secrets.derive("same")
    assert len({derived, secrets.derive("other"), secrets.derive("same", key_index=1)}) == 3
    assert secrets.derive_from(NEW, "same") == secrets.derive_from(NEW.encode(), "same") == derived
    assert len(secrets.derive("same", 64)) == 64


def test_derived_keys_stay_the_same_across_releases() -> None:
    """Refresh tokens and sealed columns hang on these bytes: a change here signs everybody out."""
    expected = "dff73dd942b38456b8a6cea0635b794fe13f7628a2cbc63ad613096ca95000c4"
    assert secrets.derive_from("k" * 32, "refresh").hex() == expected
    assert secrets.key_id("k" * 32) == "f8b9f4ce"


def test_rotation() -> None:
    with board(OLD).app_context():
        signed, sealed = secrets.sign("test", b"data"), secrets.seal("test", b"data")
    with board(NEW, OLD).app_context():
        assert secrets.verify("test", signed) == secrets.open_sealed("test", sealed) == b"data"
        assert secrets.sign("test", b"data").startswith(secrets.key_id(NEW))
        moved = secrets.reseal("test", sealed)
        assert moved.startswith(secrets.key_id(NEW))
        assert secrets.reseal("test", moved) == moved
    with board(NEW).app_context():
        assert secrets.open_sealed("test", moved) == b"data"
        for read, text in ((secrets.verify, signed), (secrets.open_sealed, sealed), (secrets.reseal, sealed)):
            with pytest.raises(BadSignature):
                read("test", text)


def test_a_key_id_tells_keys_apart_and_nothing_else() -> None:
    assert secrets.key_id(NEW) != secrets.key_id(OLD)
    assert len(secrets.key_id(NEW)) == 8
    with board(NEW, OLD).app_context():
        text = secrets.sign("test", b"data")
        with pytest.raises(BadSignature):
            secrets.verify("test", secrets.key_id(OLD) + text[8:])


def test_two_keys_with_one_id_are_both_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "key_id", lambda secret: "00000000")
    with board(OLD).app_context():
        signed, sealed = secrets.sign("test", b"data"), secrets.seal("test", b"data")
    with board(NEW, OLD).app_context():
        assert secrets.verify("test", signed) == secrets.open_sealed("test", sealed) == b"data"


@given(st.binary(max_size=64))
@settings(deadline=None)
def test_base64url_has_one_spelling(data: bytes) -> None:
    text = secrets.encode64(data)
    assert secrets.decode64(text) == data
    assert set(text) <= set(ALPHABET)


@pytest.mark.parametrize("text", ["QQ==", "QQ=", "Q", "QR", "QUI=", "QUJ", "QQ\n", " QQ", "Q Q", "+/+/", "é", "QUJDR"])
def test_sloppy_base64url_is_refused(text: str) -> None:
    with pytest.raises(BadSignature):
        secrets.decode64(text)


def test_a_purpose_is_needed() -> None:
    for call in (
        lambda: secrets.derive(""),
        lambda: secrets.sign("", b""),
        lambda: secrets.seal("", b""),
    ):
        with pytest.raises(ValueError, match="purpose"):
            call()


def test_a_bad_signature_says_nothing_of_the_text() -> None:
    with pytest.raises(BadSignature) as caught:
        secrets.verify("test", "aaaaaaaa.c2VjcmV0.c2VjcmV0")
    assert "c2VjcmV0" not in str(caught.value)
