"""Real servers for ``make run`` and the tests: one call starts them side by side, one call stops them.

``start(folder)`` holds the folder (``core.ops.leash``), so that they end with this process, however it ends.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Collection, Sequence
from pathlib import Path

from core.ops.leash import Busy, Hold
from core.ops.postgres import Postgres
from core.ops.servers import Mongo, PortTaken, Server, ServerFailed, Valkey, free_port, listening

__all__ = ["Busy", "Mongo", "PortTaken", "Postgres", "Server", "ServerFailed", "Servers", "Valkey"]
__all__ += ["free_port", "listening", "start"]

EVERY = ("postgres", "valkey", "mongo")


@dataclasses.dataclass
class Servers:
    """What runs for a folder. A server that was left out is ``None`` and its address empty."""

    hold: Hold
    durable: bool
    postgres: Postgres | None = None
    valkey: Valkey | None = None
    mongo: Mongo | None = None

    @property
    def each(self) -> list[Server]:
        return [server for server in (self.postgres, self.valkey, self.mongo) if server]

    @property
    def database_url(self) -> str:
        return self.postgres.url if self.postgres else ""

    @property
    def superuser_url(self) -> str:
        return self.postgres.superuser_url if self.postgres else ""

    @property
    def redis_url(self) -> str:
        return self.valkey.url if self.valkey else ""

    @property
    def mongodb_uri(self) -> str:
        return self.mongo.url if self.mongo else ""

    def environ(self) -> dict[str, str]:
        """The variables by which a board finds these servers."""
        named = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, "MONGODB_URI": self.mongodb_uri}
        return {name: value for name, value in named.items() if value}

    def stop(self) -> None:
        """Stop them all and let the folder go; data stay."""
        for server in self.each:
            server.ask() if self.durable else server.kill()
        for server in self.each:
            server.stop()
        self.hold.release()

    def remove(self) -> None:
        """Stop them all and delete their data."""
        self.stop()
        for server in self.each:
            server.remove()


def start(
    folder: Path,
    *,
    durable: bool,
    ports: Sequence[int] = (0, 0, 0),
    only: Collection[str] = EVERY,
) -> Servers:
    """Start the servers named in ``only`` with their data under ``folder``, and return once all of them answer.

    ``ports`` are PostgreSQL's, Valkey's and the document store's; 0 means any free one. ``durable`` decides whether
    data are flushed to the disk, which only a machine that loses power would notice. Raises ``Busy``,
    ``PortTaken`` or ``ServerFailed``, and then leaves nothing running.
    """
    servers = Servers(Hold(folder), durable)
    postgres_port, valkey_port, mongo_port = ports
    try:
        home = servers.hold.folder
        if not durable:
            home.chmod(0o711)  # a temporary folder is closed to the user that root runs PostgreSQL as
        words = _passwords(home)
        if "mongo" in only:  # the slowest first
            servers.mongo = Mongo(home, mongo_port, "", durable=durable)
            servers.mongo.launch()
        if "valkey" in only:
            servers.valkey = Valkey(home, valkey_port, words["valkey"], durable=durable)
            servers.valkey.launch()
        if "postgres" in only:
            servers.postgres = Postgres(home, postgres_port, words["superuser"], words["role"], durable=durable)
            servers.postgres.launch()
        for server in servers.each:
            server.wait_ready()
    except BaseException:
        servers.stop()
        raise
    return servers


def _passwords(folder: Path) -> dict[str, str]:
    """Random ones, made once and kept with the data."""
    path = folder / "passwords.json"
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps({name: secrets.token_urlsafe(24) for name in ("superuser", "role", "valkey")}))
        fresh.rename(path)
    words: dict[str, str] = json.loads(path.read_text())
    return words
