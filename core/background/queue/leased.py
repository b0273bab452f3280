"""One queue, as one process uses it: putting jobs on, taking leases, settling them, taking back what others let lapse.

Nothing here waits or retries: whoever calls knows what an error leaves undone. Errors are redis-py's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from redis import Redis

from core.background.queue import scripts, signs
from core.background.queue.frames import Frame
from core.background.queue.keys import Keys
from core.background.queue.neighbours import is_gone
from core.background.queue.stories import Held

LEASE = 15.0
"""Seconds that a lease lasts without a sign of life; whoever is killed is missed after as long."""
MOST_STALLS = 3
"""How often a job's process may die or fall silent while it runs; once more, and the job is dead."""
NO_LIMIT = 2**53
KEPT_DONE, KEPT_FAILED = 100, 1000
"""Records that a queue keeps of what was done, and of what failed."""

Effect = tuple[str, Any, Any]
"""An operation of ``scripts.STEP`` and its two arguments."""


Told = Callable[[bool | None, bool], None]


class Settled(NamedTuple):
    """A job that its process has done with, and what follows from that: all of it, or none if the lease was lost.

    ``told`` is called once that is so: whether the lease was ours, and whether a chord became full. Where the reply to
    an earlier step was lost, one that is not ours may have been settled by that one: then it is told ``None``.
    """

    nonce: bytes
    effects: Sequence[Effect] = ()
    told: Told | None = None

    @classmethod
    def of(cls, frame: Frame, *effects: Effect, told: Told | None = None) -> Settled:
        """It also leaves the gates that it has passed, unless it goes back."""
        stays = not frame.gated or any(what == "back" for what, *_ in effects)
        return cls(frame.nonce, effects if stays else (("leave", "", frame.head), *effects), told)


class Step(NamedTuple):
    """What a step answered.

    ``lost``: nonces whose lease was no longer ours; ``known``: whether the process had not been given up meanwhile;
    ``soon``: milliseconds until something falls due, -1 where nothing is scheduled; ``fired``: nonces of jobs that were
    the last of a chord; ``revoked``: how many revocations there are. The last two are of Huey's own API.
    """

    taken: list[Frame]
    lost: list[bytes]
    known: bool
    soon: int
    waiting: int
    fired: list[bytes]
    revoked: int


class Leased:
    """The queue ``name`` in the hands of ``process``, an id of this process alone."""

    def __init__(self, client: Redis, name: str, process: str) -> None:
        self.client = client
        self.keys = Keys(name)
        self.name = name
        self.process = process

    def push(self, frames: Iterable[tuple[int, bytes]], *, once: bool = False) -> None:
        """Put frames on the queue, each with the epoch millisecond before which it is not due (0: now).

        With ``once`` a frame whose nonce was put there within the last half hour is not put there again.
        """
        args = [part for due, raw in frames for part in (due, raw, int(once), "", 0, "", "")]
        if args:
            self._run(scripts.PUSH, [NO_LIMIT, *args])

    def step(self, wanted: int, settled: Sequence[Settled] = ()) -> Step:
        """Renew the lease, settle, promote what is due, and take at most ``wanted`` jobs: one round trip."""
        args: list[Any] = [self.process, int(LEASE * 1000), wanted, KEPT_DONE, KEPT_FAILED]
        for each in settled:
            args += [each.nonce, len(each.effects), *(part for effect in each.effects for part in effect)]
        reply = self._run(scripts.STEP, args)
        taken, lost, known, soon, waiting, fired, revoked = reply
        return Step([Frame.read(raw) for raw in taken], lost, bool(known), soon, waiting, fired, revoked)

    def held_as(self, frame: Frame) -> Held:
        """The lease of this process on a job that it has taken."""
        return Held(self.name, self.process, frame.nonce.decode())

    def held(self) -> tuple[list[Frame], list[Frame]]:
        """What this process has not settled, as Redis knows it: what it took, and what it found to stall too often."""
        keys = [self.keys.leases(self.process), self.keys.stalls]
        taken, dead = signs.HELD(keys=keys, args=[MOST_STALLS], using=self.client)
        return [Frame.read(raw) for raw in taken], [Frame.read(raw) for raw in dead]

    def expire_gone(self) -> None:
        """Let the leases of processes that have ended on this machine lapse at once."""
        found: Any = self.client.zrange(self.keys.procs, 0, -1)
        for process in (name.decode() for name in found):
            if process != self.process and is_gone(process):
                signs.LEAVE(keys=[self.keys.procs], args=[process], using=self.client)

    def reap(self, limit: int = 200) -> tuple[list[Frame], list[Frame]]:
        """Give back the jobs of processes that fell silent; answers those, and the ones that stalled too often: this
        process has a lease on them, and is to settle them."""
        stalled, dead = self._run(scripts.REAP, [limit, MOST_STALLS, self.process, int(LEASE * 1000)])
        return [Frame.read(raw) for raw in stalled], [Frame.read(raw) for raw in dead]

    def beat(self) -> bool:
        """Renew the lease alone; whether it was still ours."""
        return bool(signs.BEAT(keys=[self.keys.procs], args=[self.process, int(LEASE * 1000)], using=self.client))

    def leave(self) -> None:
        """Let the lease lapse at once."""
        signs.LEAVE(keys=[self.keys.procs], args=[self.process], using=self.client)

    def _run(self, script: Any, args: list[Any]) -> Any:
        return script(keys=[self.keys.prefix], args=args, using=self.client)
