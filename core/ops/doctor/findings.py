"""What a topic looks at, and what it tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from flask import Flask

from core.background.queue.sizes import most_children
from core.config import BoardSettings
from core.ops.budget import ONE_OF_EACH, Formation

Severity = Literal["ok", "warning", "error"]

# What each platform sets in the processes that it runs.
PLATFORMS = {
    "DYNO": "Heroku",
    "RENDER": "Render",
    "FLY_APP_NAME": "Fly",
    "RAILWAY_ENVIRONMENT": "Railway",
    "K_SERVICE": "Cloud Run",
}


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """``check`` is a stable name within its ``topic``; ``cure`` says what to do about anything that is not ok."""

    check: str
    severity: Severity
    found: str
    cure: str = ""
    topic: str = ""

    @property
    def name(self) -> str:
        return f"{self.topic}.{self.check}"


Findings = Iterator[Finding]


class Away(Exception):
    """A topic cannot be examined because something that it needs does not answer; the text says what."""


@dataclass(frozen=True)
class Patient:
    """A board as far as it can be made out: ``settings`` without what is unreadable, ``app`` only if it starts.

    ``faults`` are what it refused to start for, a line each.
    """

    settings: BoardSettings
    environ: Mapping[str, str]
    app: Flask | None
    faults: tuple[str, ...] = ()
    formation: Formation = ONE_OF_EACH

    @property
    def production(self) -> bool:
        return not self.settings.development

    @property
    def children(self) -> int:
        """How many processes of its own a worker has at most; 0 where the board does not start."""
        if self.app is None or "pegboard.tasks" not in self.app.extensions:
            return 0
        with self.app.app_context():
            return most_children(self.app)

    @property
    def platform(self) -> str:
        """The platform that this process runs on; empty where there is no sign of one."""
        return next((name for variable, name in PLATFORMS.items() if self.environ.get(variable)), "")


def ok(check: str, found: str) -> Finding:
    return Finding(check, "ok", found)


def warning(check: str, found: str, cure: str) -> Finding:
    return Finding(check, "warning", found, cure)


def error(check: str, found: str, cure: str) -> Finding:
    return Finding(check, "error", found, cure)


def unsafe(patient: Patient, check: str, found: str, cure: str) -> Finding:
    """An error in production; on a developer's own machine only worth knowing."""
    return Finding(check, "error" if patient.production else "warning", found, cure)


def split(fault: str) -> tuple[str, str]:
    """A fault line as the board writes them, ``what is wrong; what to do``, in its two parts."""
    what, separator, cure = fault.partition("; ")
    if not separator:
        what, separator, cure = fault.partition(": use ")
        cure = f"use {cure}" if separator else ""
    return what, cure


# -- addresses ----------------------------------------------------------------------------------------------------


def host_of(url: str) -> str:
    """The host of a server's address, empty for a socket file or where it cannot be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_local(host: str) -> bool:
    """This machine itself."""
    if host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_near(host: str) -> bool:
    """This machine, or a network that is not the Internet: a private address, a container's or an internal name."""
    if is_local(host) or ("." not in host and ":" not in host) or host.endswith((".internal", ".local", ".svc")):
        return True
    try:
        return ip_address(host).is_private
    except ValueError:
        return False
