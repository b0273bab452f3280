"""Mail into a folder: one ``.eml`` file a message, which any mail program opens."""

from __future__ import annotations

import hashlib
import io
import logging
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8
from email.utils import format_datetime

from core.config import settings
from core.data.models import new_id, utcnow
from core.data.tenancy import current_tenant
from core.errors import VALIDATION_FAILED, FieldFault, Refused
from core.registry.standins import files
from core.registry.standins.files import UNPRINTABLE

log = logging.getLogger(__name__)


class MailFolder:
    """Answers ``Mailer``: nothing leaves this machine."""

    def send(self, *, to: str, subject: str, text: str, html: str | None = None, key: str | None = None) -> None:
        """Write the message into ``<instance>/mail``; the same ``key`` is the same file, so twice is once.

        ``Refused(VALIDATION_FAILED)`` for what is no single address, or a subject of more than one line.
        """
        message = _message(to, subject, text, html)
        path = files.folder("mail") / f"{_name(key)}.eml"
        if files.make_once(path, io.BytesIO(message.as_bytes())):
            log.info("mail kept in %s", path)


def _name(key: str | None) -> str:
    """In the order of sending, or by key; another tenant's key is another key."""
    if key is None:
        return str(new_id())
    return hashlib.sha256(f"{current_tenant().id}:{key}".encode()).hexdigest()[:40]


def _message(to: str, subject: str, text: str, html: str | None) -> EmailMessage:
    board, tenant = settings(), current_tenant()
    message = EmailMessage(policy=SMTPUTF8)
    message["From"] = Address(board.email_from_name, addr_spec=board.email_from_address)
    message["To"] = _address(to)
    message["Subject"] = _line(subject, "$.subject")
    message["Date"] = format_datetime(utcnow())
    message["Message-ID"] = f"<{new_id()}@{message['From'].addresses[0].domain}>"
    message["X-Pegboard-Tenant"] = tenant.slug
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


def _address(to: str) -> Address:
    try:
        address = Address(addr_spec=_line(to, "$.to"))
    except (MessageError, ValueError, IndexError):
        raise _refused("$.to", "is not one mail address") from None
    if not (address.username and address.domain):
        raise _refused("$.to", "is not one mail address")
    return address


def _line(text: str, field: str) -> str:
    """The text of a header. A line break in it would begin a header of the sender's choosing (RFC 5322, 2.2)."""
    if UNPRINTABLE.search(text):
        raise _refused(field, "must be one line of text")
    return text


def _refused(field: str, detail: str) -> Refused:
    return Refused(VALIDATION_FAILED, fields=[FieldFault(field, "invalid", detail)])
