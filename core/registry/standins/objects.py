"""Objects as files: ``<instance>/objects/<tenant>/…``, with links that are signed and expire.

A file's name is a digest of its key, so that no key can name a place of its own choosing, and ``a`` and ``a/b`` can
both exist; beside it a small JSON file says the key and the content type.
"""

from __future__ import annotations

import hashlib
import io
import time
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import msgspec
from flask import Response, send_file

from core.config import settings
from core.contracts import TenantDirectory, service
from core.data.tenancy import acting_in, current_tenant
from core.data.unit import in_steps
from core.errors import NOT_FOUND, VALIDATION_FAILED, FieldFault, Refused
from core.registry.standins import files
from core.registry.standins.files import UNPRINTABLE
from core.trust import secrets
from core.trust.permissions import public, tenantless
from core.web.bodies import Body
from core.web.openapi import produces, refuses
from core.web.routes import Routes

MAX_KEY_BYTES = 1024
MAX_LINK_SECONDS = 7 * 24 * 3600
PURPOSE = "object link"
PREFIX = "/internal/objects"

routes = Routes(__name__)


class About(msgspec.Struct, frozen=True):
    key: str
    content_type: str


class Link(msgspec.Struct, frozen=True, array_like=True):
    """What a link says, signed: whose object, and until when (epoch seconds)."""

    tenant_id: UUID
    key: str
    until: int


class Opening(Body):
    """In the query string rather than the path: paths are logged, and a link opens its object to whoever has it."""

    link: str


class ObjectFolder:
    """Answers ``ObjectStore``. Keys are paths such as ``avatars/42.png``; others are ``Refused(VALIDATION_FAILED)``."""

    def put(self, key: str, data: BinaryIO, content_type: str) -> int:
        """Store, replacing what is there, and answer the number of bytes."""
        path = _path(key)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        files.replace(_beside(path), io.BytesIO(msgspec.json.encode(About(key, content_type))))
        return files.replace(path, data)

    def open(self, key: str) -> BinaryIO:
        """``Refused(NOT_FOUND)`` when there is none."""
        try:
            return _path(key).open("rb")
        except FileNotFoundError:
            raise Refused(NOT_FOUND) from None

    def delete(self, key: str) -> None:
        """Deleting what is not there is no error."""
        path = _path(key)
        path.unlink(missing_ok=True)
        _beside(path).unlink(missing_ok=True)

    def link(self, key: str, expires_in: int = 300) -> str:
        """An address that anyone may read for ``expires_in`` seconds, at most seven days."""
        if not 0 < expires_in <= MAX_LINK_SECONDS:
            raise ValueError(f"a link lives between 1 and {MAX_LINK_SECONDS} seconds")
        told = Link(current_tenant().id, _acceptable(key), int(time.time()) + expires_in)
        signed = secrets.sign(PURPOSE, msgspec.json.encode(told))
        return f"{settings().api_url.rstrip('/')}{PREFIX}?link={signed}"


@routes.get("")
@public
@tenantless
@refuses(NOT_FOUND)
@produces("*/*")
@in_steps
def read(query: Opening) -> Response:
    """The object behind a link, for as long as the link lives."""
    link, now = _opened(query.link), time.time()
    tenant = service(TenantDirectory).by_id(link.tenant_id)
    if tenant is None or not tenant.active or link.until <= now:
        raise Refused(NOT_FOUND, "the link has expired")
    with acting_in(tenant):
        path = _path(link.key)
        try:
            about = msgspec.json.decode(_beside(path).read_bytes(), type=About)
            reply = send_file(path, about.content_type, as_attachment=True, download_name=link.key.rpartition("/")[2])
        except FileNotFoundError:
            raise Refused(NOT_FOUND) from None
    # Whoever uploaded it must not run as this site, whatever the content type says.
    reply.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    reply.headers["X-Content-Type-Options"] = "nosniff"
    reply.headers["Cache-Control"] = f"private, max-age={int(link.until - now)}"
    return reply


def _opened(token: str) -> Link:
    try:
        return msgspec.json.decode(secrets.verify(PURPOSE, token), type=Link)
    except secrets.BadSignature:
        raise Refused(NOT_FOUND) from None


def _path(key: str) -> Path:
    name = hashlib.sha256(_acceptable(key).encode()).hexdigest()
    return files.folder("objects", current_tenant().id.hex) / name[:2] / name


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _acceptable(key: str) -> str:
    """The key, if every kind of store could keep it: parts other than ``.`` and ``..``, and no backslash."""
    plain = not UNPRINTABLE.search(key) and "\\" not in key and not {"", ".", ".."} & set(key.split("/"))
    if not plain or len(key.encode()) > MAX_KEY_BYTES:
        raise Refused(
            VALIDATION_FAILED, fields=[FieldFault("$.key", "invalid", "is not a path such as folder/name.png")]
        )
    return key
