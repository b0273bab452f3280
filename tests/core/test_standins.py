"""The stand-ins: each answers its contract, mail and objects are whole files, and nothing leads out of its folder."""

from __future__ import annotations

import email
import email.policy
import io
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from core.contracts import (
    ONE,
    Authenticator,
    Images,
    Mailer,
    Principal,
    Quota,
    Services,
    TenantDirectory,
    UserDirectory,
    service,
)
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.errors import Refused
from core.registry.standins import NAME
from core.registry.standins.mail import MailFolder
from core.registry.standins.people import Nobody, NoCredentials, NoImages, NoLimits, OneTenant


@pytest.fixture
def instance(ctx: Flask) -> Path:
    return Path(ctx.extensions["pegboard.settings"].instance_dir).resolve()


def test_every_contract_with_one_answer_has_a_stand_in(ctx: Flask) -> None:
    table: Services = ctx.extensions["pegboard.services"]
    for contract in ONE:
        assert table.providers(contract)[0] == NAME
        answer = table.get(contract, NAME)
        wanted = [name for name in vars(contract) if not name.startswith("_")]
        assert wanted and all(callable(getattr(answer, name)) for name in wanted)
        assert service(contract) is not None


# -- those with little to say -----------------------------------------------------------------------------------


def test_nobody_is_known_and_no_credential_is_good(ctx: Flask) -> None:
    directory: UserDirectory = Nobody()
    assert (directory.by_id(uuid4()), directory.by_ids([uuid4()]), directory.by_email("a@example.com")) == (
        None,
        {},
        None,
    )
    credentials: Authenticator = NoCredentials()
    for redeem in (credentials.by_api_key, credentials.by_ticket):
        with pytest.raises(Refused, match="TOKEN_INVALID"):
            redeem("anything")
    assert credentials.session_stands(Principal("user", uuid4()), 0)


def test_there_are_two_tenants(ctx: Flask) -> None:
    directory: TenantDirectory = OneTenant()
    assert list(directory.every()) == [DEFAULT, PLATFORM]
    assert directory.by_id(PLATFORM.id) == directory.by_slug("platform") == PLATFORM
    assert directory.by_id(uuid4()) is directory.by_slug("acme") is directory.by_domain("acme.example") is None


def test_nothing_is_limited_and_images_say_what_they_need(ctx: Flask) -> None:
    quota: Quota = NoLimits()
    quota.use("bytes", 10**12)
    quota.give_back("bytes")
    images: Images = NoImages()
    with pytest.raises(Refused, match="FEATURE_OFF: switch on a plugin that provides Images"):
        images.resize(io.BytesIO(), width=1, height=1)


# -- mail -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mail(instance: Path) -> Iterator[Path]:
    """The folder of mails, without what other tests have sent."""
    folder = instance / "mail"
    for path in folder.glob("*"):
        path.unlink()
    yield folder
    for path in folder.glob("*"):
        path.unlink()


def letters(folder: Path) -> list[EmailMessage]:
    return [_parsed(path.read_bytes()) for path in sorted(folder.iterdir())]


def _parsed(raw: bytes) -> EmailMessage:
    parsed: Any = email.message_from_bytes(raw, policy=email.policy.default)
    return parsed


def test_a_message_is_a_file_that_a_mail_program_opens(mail: Path) -> None:
    mailer: Mailer = MailFolder()
    mailer.send(to="bob@example.com", subject="Grüße 👨‍👩‍👧", text="plain é", html="<p>rich é</p>")
    mailer.send(to="carol@example.com", subject="second", text="only plain")
    first, second = letters(mail)
    assert (first["To"], first["Subject"], second["To"]) == ("bob@example.com", "Grüße 👨‍👩‍👧", "carol@example.com")
    assert first["From"].addresses[0].addr_spec == "no-reply@example.com"
    assert first["Date"] and first["Message-ID"] != second["Message-ID"]
    plain, rich = first.get_body(("plain",)), first.get_body(("html",))
    assert plain is not None and plain.get_content().splitlines() == ["plain é"]
    assert rich is not None and rich.get_content().splitlines() == ["<p>rich é</p>"]
    assert second.get_content().splitlines() == ["only plain"]
    assert {path.suffix for path in mail.iterdir()} == {".eml"}
    assert {path.stat().st_mode & 0o077 for path in mail.iterdir()} == {0}


def test_one_key_is_one_message_however_many_send_it(ctx: Flask, mail: Path) -> None:
    def send() -> None:
        with ctx.app_context(), acting_in(DEFAULT):
            MailFolder().send(to="bob@example.com", subject="once", text="once", key="welcome/1")

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(letters(mail)) == 1
    with acting_in(PLATFORM):
        MailFolder().send(to="bob@example.com", subject="theirs", text="theirs", key="welcome/1")
    MailFolder().send(to="bob@example.com", subject="another", text="another", key="../../welcome/2")
    assert sorted(letter["Subject"] for letter in letters(mail)) == ["another", "once", "theirs"]


@pytest.mark.parametrize(
    ("to", "subject"),
    [
        ("bob@example.com\r\nBcc: all@example.com", "x"),
        ("bob@example.com\n", "x"),
        ("bob@example.com, carol@example.com", "x"),
        ("bob", "x"),
        ("", "x"),
        ("@example.com", "x"),
        ("bob@", "x"),
        ("Bob <bob@example.com>", "x"),
        ("bob@example.com\0", "x"),
        ("bob@example.com", "x\r\nBcc: all@example.com"),
        ("bob@example.com", "x\u2028y"),
        ("bob@example.com", "x\ud800"),
    ],
)
def test_no_header_is_of_the_senders_choosing(mail: Path, to: str, subject: str) -> None:
    with pytest.raises(Refused, match="VALIDATION_FAILED") as caught:
        MailFolder().send(to=to, subject=subject, text="x")
    assert caught.value.fields[0].field == ("$.subject" if subject != "x" else "$.to")
    assert not list(mail.glob("*"))
