"""What a queue is called in Redis: all of its keys begin alike and hash to one slot, so that a script may use them."""

from __future__ import annotations

import re

DEFAULT = "default"
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


class Keys:
    """The keys of one queue.

    ``wait`` (list) and ``prio`` (sorted set, by minus the priority) hold what may be taken, ``sched`` (by millisecond)
    what is not due; ``procs`` has the processes by when their leases lapse, ``leases(process)`` (hash: nonce -> frame)
    what each has taken; ``stalls`` (hash: nonce -> times) how often a lease lapsed, ``dead`` and ``dead_at`` what
    nobody tries any more, ``stat`` counters, ``done`` and ``failed`` the last records, ``pause`` whether nothing is
    taken.
    """

    def __init__(self, queue: str) -> None:
        if not NAME.fullmatch(queue):
            raise ValueError(f"{queue!r} is no name of a queue: take small letters, digits and -, at most 32")
        self.queue = queue
        # The braces make it the part that a cluster hashes.
        self.prefix = f"pb:q:{{{queue}}}:"
        for name in ("wait", "prio", "sched", "procs", "stalls", "dead", "dead_at", "stat", "done", "failed", "pause"):
            setattr(self, name, self.prefix + name)

    wait: str
    prio: str
    sched: str
    procs: str
    stalls: str
    dead: str
    dead_at: str
    stat: str
    done: str
    failed: str
    pause: str

    def leases(self, process: str) -> str:
        return f"{self.prefix}p:{process}"

    def all(self) -> list[str]:
        """In the order in which the scripts take them, all but the leases."""
        return [
            self.wait,
            self.prio,
            self.sched,
            self.procs,
            self.stalls,
            self.dead,
            self.dead_at,
            self.stat,
            self.done,
            self.failed,
            self.pause,
        ]
