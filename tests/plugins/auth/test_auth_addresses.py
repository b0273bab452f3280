"""One mailbox, one form."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from plugins.auth.addresses import normalise

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("given_form", "expected"),
    [
        ("alice@example.com", "alice@example.com"),
        ("  Alice@Example.COM ", "alice@example.com"),
        ("ＡＬＩＣＥ@example.com", "alice@example.com"),
        ("a.b+tag@sub.example.co.uk", "a.b+tag@sub.example.co.uk"),
        ("o'neil/x=y@example.com", "o'neil/x=y@example.com"),
        ("alice@BÜCHER.example", "alice@xn--bcher-kva.example"),
        ("alice@xn--bcher-kva.example", "alice@xn--bcher-kva.example"),
        ("alice＠example。com", "alice@example.com"),
        ("alice@faß.de", "alice@xn--fa-hia.de"),  # and not fass.de, which is somebody else's
        ("K@example.com", "k@example.com"),  # the Kelvin sign
    ],
)
def test_variants_become_one_form(given_form: str, expected: str) -> None:
    assert normalise(given_form) == expected


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        "alice@localhost",
        "alice@example..com",
        "alice@.example.com",
        "alice@-example.com",
        "alice@exa_mple.com",
        "alice@[127.0.0.1]",
        "alice@bob@example.com",
        ".alice@example.com",
        "alice.@example.com",
        "al..ice@example.com",
        '"alice"@example.com',
        "al ice@example.com",
        "alice\n@example.com",
        "alice@example.com\nBcc: eve@example.com",
        "al\x00ice@example.com",
        "al\u200bice@example.com",
        "al\u202eice@example.com",
        "alice@exam\u200bple.com@",
        "alice@example.com,eve@example.com",
        "<alice@example.com>",
        "a" * 65 + "@example.com",
        "jürgen@example.com",
        "straße@example.com",
        "аlice@example.com",
        "a@" + "b" * 64 + ".com",
        "a@" + "b." * 126 + "com",
    ],
)
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=" "):
        normalise(bad)


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_form_is_a_fixed_point_and_never_crashes(local: str, domain: str) -> None:
    for text in (f"{local}@example.com", f"alice@{domain}.com", local):
        try:
            once = normalise(text)
        except ValueError:
            continue
        assert normalise(once) == once
        assert once.isascii()
        assert once.isprintable()
        assert len(once) <= 254
