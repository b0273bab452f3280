"""What a queue is called in Redis: all of its keys begin alike and hash to one slot, so that a script may use them."""

from __future__ import annotations

import re

DEFAULT = "default"
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
OF_HUEY = re.compile(r"huey\.[A-Za-z0-9_.-]{1,64}")
"""Queues of Huey's own API: no task of the board's can go there, and none of theirs comes to the board's."""


class Keys:
    """The keys of one queue.

    ``lane`` (list) and ``ranked`` (sorted set, by minus the priority) hold what may be taken of one tenant, ``first``
    (list) what goes before that, ``turns`` (sorted set) the tenants that have something there; ``gated`` the gates at
    which something waits, in ``at_gate``, and ``gate_lengths`` (hash: lane -> how many) counts that; ``sched`` (by
    millisecond) what is not due; ``procs`` the
    processes by when their leases lapse, ``leases`` (hash: nonce -> frame) what each has taken; ``stalls`` (hash: nonce
    -> times) how often a lease lapsed, ``dead`` and ``dead_at`` what nobody tries any more, ``stat`` counters and
    whether the queue is paused, ``ended`` counters by task, ``times`` those of an hour, ``done`` and ``failed`` the
    last records. Of a job that is followed, ``story`` (stream) are its events and ``facts`` (hash) its state; of a
    group, ``group`` (hash) counts its members. While ``probe`` lives, one job tries whether an outside service is back.
    """

    def __init__(self, queue: str) -> None:
        if not NAME.fullmatch(queue) and not OF_HUEY.fullmatch(queue):
            raise ValueError(f"{queue!r} is no name of a queue: take small letters, digits and -, at most 32")
        self.queue = queue
        # The braces make it the part that a cluster hashes.
        self.prefix = f"pb:q:{{{queue}}}:"

    def __getattr__(self, name: str) -> str:
        if name not in NAMED:
            raise AttributeError(name)
        return self.prefix + name

    def lane(self, lane: str) -> str:
        return f"{self.prefix}w:{lane}"

    def first(self, lane: str) -> str:
        return f"{self.prefix}f:{lane}"

    def ranked(self, lane: str) -> str:
        return f"{self.prefix}z:{lane}"

    def at_gate(self, key: str) -> str:
        return f"{self.prefix}g:{key}:w"

    def leases(self, process: str) -> str:
        return f"{self.prefix}p:{process}"

    def story(self, job_id: str) -> str:
        return f"{self.prefix}s:{job_id}"

    def facts(self, job_id: str) -> str:
        return f"{self.prefix}h:{job_id}"

    def group(self, group_id: str) -> str:
        return f"{self.prefix}group:{group_id}"

    def times(self, hour: int) -> str:
        """``hour`` counts from the epoch."""
        return f"{self.prefix}t:{hour}"


NAMED = frozenset("sched turns gated gate_lengths procs stalls dead dead_at stat ended done failed probe".split())
