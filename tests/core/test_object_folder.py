"""Objects in a folder: each tenant's own, whole or not there, read by links that end; no key leads out of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from core.contracts import ObjectStore, Tenant
from core.data.tenancy import DEFAULT, PLATFORM, acting_in
from core.errors import Refused
from core.registry.standins import objects
from core.registry.standins.objects import ObjectFolder
from core.registry.standins.people import OneTenant


@pytest.fixture
def instance(ctx: Flask) -> Path:
    return Path(ctx.extensions["pegboard.settings"].instance_dir).resolve()


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
