"""How connections to Redis are made. Imports the client library, which is heavy: import this late."""

from __future__ import annotations

import ssl
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


class _Checked:
    """Replaces a connection that went away while idle.

    redis-py would do that by its retries, but those send the command itself again, and a write could happen twice.
    Here nothing of the command has been sent yet.
    """

    def check_health(self) -> None:
        try:
            super().check_health()  # type: ignore[misc]
        except (ConnectionError, TimeoutError):
            self.disconnect()  # type: ignore[attr-defined]
            self.connect_check_health(check_health=False)  # type: ignore[attr-defined]


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
