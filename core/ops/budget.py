"""The connection budget: how many connections the board's processes may open, against what the servers allow.

A process opens at most a pool's worth: processes × pools is the most that a server will see. How many processes there
are only the operator knows; what stands in the settings is how many workers a web process has, and how large pools are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from core.config import BoardSettings

MIGRATION_CONNECTIONS = 3
"""`flask db upgrade`: one holds the lock, one works, one asks for the app's role. It pools none."""
SUBSCRIPTION = 1
"""The connection on which a process hears Redis's notices."""
CHILD_POSTGRES, CHILD_REDIS = 2, 1 + SUBSCRIPTION
"""Of each process in which a worker's jobs compute: it runs one at a time."""
QUEUES = 8
"""That a worker consumes where ``WORKER_QUEUES`` does not say which: room for the usual ones."""
FULL = 0.8
"""The share of the limit from which on little is left for consoles, backups and commands."""


class Formation(NamedTuple):
    """How many of each process the platform runs; a web process has ``WEB_CONCURRENCY`` workers of its own.

    ``None`` is what suits the settings: one, or none of a kind that ``RUN_INSIDE_WEB`` puts into each web process.
    """

    web: int = 1
    worker: int | None = None
    scheduler: int | None = None

    @classmethod
    def parse(cls, text: str) -> Formation:
        """``web=2,worker=3``; for what is not named see above. Raises ``ValueError``."""
        counts: dict[str, int] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = part.partition("=")
            if name not in cls._fields or not number.isdecimal():
                raise ValueError(f"{part!r}: expected {', '.join(cls._fields)} and a number, as in web=2,worker=3")
            counts[name] = int(number)
        return cls(**counts)

    def processes(self, kind: str, settings: BoardSettings) -> int:
        """How many of a kind there are, on their own and inside web."""
        if kind == "web":
            return self.web * settings.web_concurrency
        inside = kind in settings.run_inside_web
        apart: int | None = getattr(self, kind)
        return (self.web if inside else 0) + (apart if apart is not None else 0 if inside else 1)


ONE_OF_EACH = Formation()


class Share(NamedTuple):
    """What one kind of process may open: ``processes`` times ``each``."""

    kind: str
    processes: int
    each: int

    @property
    def total(self) -> int:
        return self.processes * self.each

    def __str__(self) -> str:
        return f"{self.kind} {self.processes} × {self.each}"


@dataclass(frozen=True)
class Budget:
    """``lasting`` is held for as long as the processes run, ``passing`` only while a release migrates."""

    lasting: tuple[Share, ...]
    passing: tuple[Share, ...] = ()

    @property
    def total(self) -> int:
        return sum(share.total for share in (*self.lasting, *self.passing))

    @property
    def overlapping(self) -> int:
        """While a release starts new processes beside the old ones."""
        return self.total + sum(share.total for share in self.lasting)

    def __str__(self) -> str:
        parts = [str(share) for share in (*self.lasting, *self.passing) if share.total]
        return f"{' + '.join(parts)} = {self.total}"


def for_postgres(settings: BoardSettings, formation: Formation, children: int = 0) -> Budget:
    """``children`` is how many processes of its own each worker has at most, for jobs that compute."""
    lasting = [Share(kind, formation.processes(kind, settings), settings.database_pool) for kind in Formation._fields]
    return Budget(
        (*lasting, _children(settings, formation, children, min(settings.database_pool, CHILD_POSTGRES))),
        (Share("release", 1, MIGRATION_CONNECTIONS),),
    )


def _children(settings: BoardSettings, formation: Formation, children: int, each: int) -> Share:
    return Share("child", formation.processes("worker", settings) * children, each)


def for_redis(settings: BoardSettings, formation: Formation, children: int = 0) -> Budget:
    """A worker has a connection for each queue, one for its heartbeat and one for the bell, besides its pool."""
    from core.data.redis.connections import POOL

    said = _said(settings.redis_url)
    pool = said or POOL
    queues = len(settings.worker_queues) or QUEUES
    waiting = {"worker": sum(min(said or each, each) for each in (queues, 1, 1))}
    lasting = [
        Share(kind, formation.processes(kind, settings), pool + SUBSCRIPTION + waiting.get(kind, 0))
        for kind in Formation._fields
    ]
    return Budget((*lasting, _children(settings, formation, children, CHILD_REDIS)))


def _said(url: str) -> int:
    """``?max_connections=`` in REDIS_URL, which goes before every pool's own size; 0 where it says nothing."""
    value = parse_qs(urlsplit(url).query).get("max_connections", ["0"])[-1]
    return int(value) if value.isdecimal() else 0


def largest_pool(settings: BoardSettings, formation: Formation, allowed: int, children: int = 0) -> int:
    """The DATABASE_POOL that fits, or 0 where there are too many processes for any."""
    processes = sum(formation.processes(kind, settings) for kind in Formation._fields)
    ours = _children(settings, formation, children, CHILD_POSTGRES).total
    return max(0, (allowed - MIGRATION_CONNECTIONS - ours) // max(1, processes))


# -- what a server allows -----------------------------------------------------------------------------------------

_LIMITS = """
    select current_setting('max_connections')::int,
           current_setting('superuser_reserved_connections')::int
               + coalesce(current_setting('reserved_connections', true), '0')::int,
           (select rolconnlimit from pg_roles where rolname = current_user),
           (select datconnlimit from pg_database where datname = current_database()),
           (select rolsuper from pg_roles where rolname = current_user)
"""


class Allowed(NamedTuple):
    """How many connections a server lets the board have, and which of its rules says so."""

    connections: int
    rule: str


def allowed_by_postgres(connection: Any) -> Allowed:
    """The tightest of the server's, the role's and the database's limits; ``connection`` is psycopg's."""
    most, reserved, of_role, of_database, superuser = connection.execute(_LIMITS).fetchone()
    rules = [Allowed(most - reserved, f"max_connections {most}, {reserved} of them reserved")]
    # A limit of -1 is none, and superusers have none.
    if of_role >= 0 and not superuser:
        rules.append(Allowed(of_role, "the role's connection limit"))
    if of_database >= 0 and not superuser:
        rules.append(Allowed(of_database, "the database's connection limit"))
    return min(rules)


def verdict(budget: Budget, allowed: Allowed) -> tuple[str, str]:
    """``ok``, ``tight`` (nothing to spare, or a release that overlaps would not fit) or ``over``; and why, in words."""
    told = f"{budget}, of {allowed.connections} ({allowed.rule})"
    if budget.total > allowed.connections:
        return "over", told
    if budget.total > FULL * allowed.connections:
        return "tight", f"{told}: little is left for consoles, backups and commands"
    if budget.overlapping > allowed.connections:
        return "tight", f"{told}: {budget.overlapping} while a release starts new processes beside the old ones"
    return "ok", told
