"""Where somebody calls from, as far as it can be known: what sessions and events keep of a request."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple


class Caller(NamedTuple):
    """``ip`` in its one spelling, empty where there is none; ``user_agent`` as the client tells it, cut short."""

    ip: str = ""
    user_agent: str = ""


NOBODY = Caller()
"""Who calls where no request does: a command, a job."""


def network_of(ip: str) -> str:
    """What one household commands: an IPv4 address, the /64 of an IPv6 address (RFC 6177)."""
    if ":" not in ip:
        return ip
    return str(ipaddress.ip_network((ip, 64), strict=False).network_address)
