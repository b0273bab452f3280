"""The stand-ins: each answers its contract, mail and objects are whole files, and nothing leads out of its folder."""

from __future__ import annotations

import email
import email.policy
import io
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from core.contracts import (
    ONE,
    Authenticator,
    Images,
    Mailer,
    ObjectStore,
    Principal,
    Quota,
    Services,
    Tenant,
    TenantDirectory,
    UserDirectory,
    service,
)
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.errors import Refused
from core.registry.standins import NAME, objects
from core.registry.standins.mail import MailFolder
from core.registry.standins.objects import ObjectFolder
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
    folder = instance / "mail"
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


# -- objects ----------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(instance: Path) -> Iterator[ObjectStore]:
    yield ObjectFolder()
    for path in (instance / "objects").rglob("*"):
        if path.is_file():
            path.unlink()


def read(store: ObjectStore, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


def test_bytes_come_back_as_they_went(kept: ObjectStore) -> None:
    assert kept.put("a", io.BytesIO(b"one"), "text/plain") == 3
    assert kept.put("a/b.png", io.BytesIO(b"x" * 1_000_000), "image/png") == 1_000_000
    assert kept.put("empty", io.BytesIO(), "text/plain") == 0
    assert (read(kept, "a"), len(read(kept, "a/b.png")), read(kept, "empty")) == (b"one", 1_000_000, b"")
    kept.put("a", io.BytesIO(b"two"), "text/plain")
    assert read(kept, "a") == b"two"
    for _ in range(2):
        kept.delete("a")
        with pytest.raises(Refused, match="NOT_FOUND"):
            kept.open("a")


def test_objects_are_their_tenants(kept: ObjectStore, instance: Path) -> None:
    kept.put("secret", io.BytesIO(b"mine"), "text/plain")
    with acting_in(PLATFORM):
        with pytest.raises(Refused, match="NOT_FOUND"):
            kept.open("secret")
        kept.delete("secret")
        kept.put("secret", io.BytesIO(b"theirs"), "text/plain")
    assert read(kept, "secret") == b"mine"
    assert {path.name for path in (instance / "objects").iterdir()} >= {DEFAULT.id.hex, PLATFORM.id.hex}


BAD_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "../x",
    "a/../x",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a\\b",
    "a\0",
    "a\nb",
    "\ud800",
    "x" * 1025,
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_is_no_way_out_of_the_folder(kept: ObjectStore, instance: Path, key: str) -> None:
    before = sorted(instance.rglob("*"))
    for use in (lambda: kept.put(key, io.BytesIO(b"x"), "text/plain"), lambda: kept.open(key)):
        with pytest.raises(Refused, match="VALIDATION_FAILED"):
            use()
    for call in (kept.delete, kept.link):
        with pytest.raises(Refused, match="VALIDATION_FAILED"):
            call(key)
    assert sorted(instance.rglob("*")) == before


class Broken(io.RawIOBase):
    """Gives something, and then fails."""

    def __init__(self) -> None:
        self.given = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self.given:
            raise OSError("the client went away")
        self.given = True
        return b"half"


def test_an_object_is_there_whole_or_not_at_all(kept: ObjectStore, instance: Path) -> None:
    kept.put("a", io.BytesIO(b"whole"), "text/plain")
    for key in ("a", "b"):
        with pytest.raises(OSError, match="went away"):
            kept.put(key, Broken(), "text/plain")  # type: ignore[arg-type]
    assert read(kept, "a") == b"whole"
    with pytest.raises(Refused, match="NOT_FOUND"):
        kept.open("b")
    assert not list(instance.rglob("*.draft"))


# -- links ------------------------------------------------------------------------------------------------------


class Fetched(NamedTuple):
    status: int
    data: bytes
    headers: Headers


def fetch(client: FlaskClient, link: str, **headers: str) -> Fetched:
    assert link.startswith("http://127.0.0.1:8000/internal/objects?link=")
    with client.get(link.removeprefix("http://127.0.0.1:8000"), headers=headers) as reply:
        return Fetched(reply.status_code, reply.data, reply.headers)


def test_the_route_of_links_can_be_mounted() -> None:
    assert objects.routes.faults() == []


def test_a_link_is_for_anyone_until_it_expires(
    kept: ObjectStore, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.put("pictures/<b>.html", io.BytesIO(b"<script>"), "text/html")
    link = kept.link("pictures/<b>.html", expires_in=60)
    status, data, headers = fetch(client, link)
    assert (status, data, headers["Content-Type"].partition(";")[0]) == (200, b"<script>", "text/html")
    assert headers["Content-Disposition"].startswith("attachment")
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert fetch(client, link, Range="bytes=1-3").data == b"scr"
    later = objects.time.time() + 61
    monkeypatch.setattr(objects.time, "time", lambda: later)
    assert fetch(client, link).status == 404


def test_a_link_opens_what_it_was_made_for(kept: ObjectStore, client: FlaskClient) -> None:
    with acting_in(PLATFORM):
        kept.put("secret", io.BytesIO(b"theirs"), "text/plain")
        theirs = kept.link("secret")
    kept.put("secret", io.BytesIO(b"mine"), "text/plain")
    assert fetch(client, theirs).data == b"theirs"
    mine = kept.link("secret")
    assert fetch(client, mine).data == b"mine"
    address, _, token = theirs.partition("=")
    for bad in (token[:-1], f"{token}A", token.replace(".", "", 1), "x", "", "%C3%A9", "%00"):
        assert 400 <= fetch(client, f"{address}={bad}").status < 500
    assert fetch(client, kept.link("nothing there")).status == 404
    kept.delete("secret")
    assert fetch(client, mine).status == 404
    longest = "ü" * 512
    kept.put(longest, io.BytesIO(b"long"), "text/plain")
    assert fetch(client, kept.link(longest)).data == b"long"


def test_a_link_of_a_tenant_that_left_is_closed(
    kept: ObjectStore, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.put("secret", io.BytesIO(b"mine"), "text/plain")
    link = kept.link("secret")
    left = Tenant(DEFAULT.id, "default", "Default", active=False)
    monkeypatch.setattr(OneTenant, "every", lambda self: (left, PLATFORM))
    assert fetch(client, link).status == 404


@pytest.mark.parametrize("seconds", [0, -1, 8 * 24 * 3600])
def test_a_link_lives_between_a_second_and_a_week(kept: ObjectStore, seconds: int) -> None:
    with pytest.raises(ValueError, match="seconds"):
        kept.link("a", expires_in=seconds)
