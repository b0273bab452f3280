"""How connections to Redis are made. Imports the client library, which is heavy: import this late."""

from __future__ import annotations

import select
import ssl
import sys
from typing import Any

from redis import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

POOL = 10  # connections a process, at most; `?max_connections=` in REDIS_URL changes it
CONNECT_TIMEOUT = 1.0  # seconds
SOCKET_TIMEOUT = 2.0
POOL_TIMEOUT = 2.0  # how long to wait for a connection while all are busy
IDLE_CHECK = 15  # a connection idle for longer is asked whether it is still there


_gevent = sys.modules.get("gevent.monkey")
_poll: Any = _gevent.get_original("select", "poll") if _gevent else select.poll
"""The kernel's own. gevent's makes a timer and two switches for an answer that is there at once: more than all else
that a small command costs."""


class _Checked:
    """Replaces a connection that went away while idle.

    redis-py would do that by its retries, but those send the command itself again, and a write could happen twice.
    Here nothing of the command has been sent yet.
    """

    def can_read(self, timeout: float = 0) -> bool:
        """The pool asks it of each connection that it hands out, whether something is left on it."""
        if timeout == 0 and _is_silent(self):
            return False
        return bool(super().can_read(timeout))  # type: ignore[misc]

    def check_health(self) -> None:
        try:
            super().check_health()  # type: ignore[misc]
        except (ConnectionError, TimeoutError):
            self.disconnect()  # type: ignore[attr-defined]
            self.connect_check_health(check_health=False)  # type: ignore[attr-defined]


def _is_silent(connection: Any) -> bool:
    """Whether nothing has come on it, for certain: neither in its buffers nor in the socket."""
    sock, reader = connection._sock, getattr(connection._parser, "_reader", None)
    if sock is None or reader is None or reader.has_data() or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
        return False
    asked = _poll()
    asked.register(sock.fileno(), select.POLLIN)
    return not asked.poll(0)


class _Tcp(_Checked, Connection):
    pass


class _Tls(_Checked, SSLConnection):
    def _error_message(self, exception: BaseException) -> str:
        if isinstance(exception, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {self.host}:{self.port} is not to be trusted ({exception.verify_message});"
                " where a platform hands out self-signed ones, REDIS_TLS_VERIFY=false accepts them"
            )
        return str(super()._error_message(exception))


class _Unix(_Checked, UnixDomainSocketConnection):
    pass


_CLASSES = {"redis": _Tcp, "rediss": _Tls, "unix": _Unix}


def open_client(url: str, verify_tls: bool, *, socket_timeout: float = SOCKET_TIMEOUT, size: int = POOL) -> Redis:
    """A client with a bounded pool; it connects when it is used. Replies are bytes. What the URL says in ``?`` wins."""
    scheme = url.partition(":")[0]
    options: dict[str, Any] = {
        "connection_class": _CLASSES[scheme],
        "max_connections": size,
        "timeout": POOL_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": socket_timeout,
        "health_check_interval": IDLE_CHECK,
        "retry": Retry(NoBackoff(), 0),
        # RESP3 brings nothing that we use, and its hello is refused by some proxies that platforms put before Redis.
        "protocol": 2,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if scheme != "unix":
        options["socket_keepalive"] = True
    if scheme == "rediss" and not verify_tls:
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return Redis.from_pool(BlockingConnectionPool.from_url(url, **options))
