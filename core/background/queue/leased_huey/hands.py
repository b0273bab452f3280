"""How tasks are taken and settled in one process: by single steps, or by a pump while a consumer runs here."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from core.background.queue import leased
from core.background.queue.bell import Bell
from core.background.queue.frames import Frame
from core.background.queue.heartbeat import Heartbeat
from core.background.queue.keys import Keys
from core.background.queue.leased import Effect, Leased, Settled, Step
from core.background.queue.leased_huey import scripts
from core.background.queue.leased_huey.places import Place
from core.background.queue.neighbours import me
from core.background.queue.pump import REAP_EVERY, Pump

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

TIMEOUT = 4.0
"""Of connections for steps and beats, in seconds."""
SETTLE = 2.0
"""Seconds for the last to be settled when a consumer ends."""


class Ended(NamedTuple):
    """Whether the lease was ours until the end, and whether this one made a chord full."""

    ours: bool
    fired: bool = False


class Hands(Protocol):
    queue: Leased

    def take(self) -> Frame | None: ...

    def hold(self, frame: Frame) -> None:
        """It is leased by other means."""

    def settle(self, frame: Frame, effects: Sequence[Effect], wait: bool) -> Ended: ...


class Taken(NamedTuple):
    """A frame, and the hands that have it: nobody else can settle it."""

    frame: Frame
    hands: Hands

    def settle(self, *effects: Effect, wait: bool = False) -> Ended:
        return self.hands.settle(self.frame, effects, wait)


Stalled = Callable[[Taken, bool], None]
"""Told of what others let lapse, and whether that was the last time: then it is leased to these hands."""


class Single:
    """Each taking and each settling is a step of its own, as for a script that works off what there is.

    After an error nobody knows whether the step was done: what was to be settled is sent again with the next, and what
    Redis says that we hold and we do not know of was taken by it.
    """

    def __init__(self, queue: Leased, stalled: Stalled) -> None:
        self.queue = queue
        self.stalled = stalled
        self._found: deque[Frame] = deque()
        self._running: set[bytes] = set()
        self._unsettled: list[Settled] = []
        self._in_doubt = False
        self._reap_at = 0.0
        self._lock = threading.Lock()

    def take(self) -> Frame | None:
        self._reap()
        with self._lock:
            if not self._found:
                self._found.extend(self._step(1).taken)
            dead = self._adopt() if self._in_doubt else []
        for each in dead:
            self.stalled(Taken(each, self), True)
        with self._lock:
            if not self._found:
                return None
            frame = self._found.popleft()
            self._running.add(frame.nonce)
            return frame

    def _adopt(self) -> list[Frame]:
        """Answers what was found to stall too often."""
        known = self._running | {frame.nonce for frame in self._found}
        taken, dead = ([frame for frame in frames if frame.nonce not in known] for frames in self.queue.held())
        self._found.extend(taken)
        self._in_doubt = False
        return dead

    def hold(self, frame: Frame) -> None:
        self._running.add(frame.nonce)

    def settle(self, frame: Frame, effects: Sequence[Effect], wait: bool) -> Ended:
        with self._lock:
            self._unsettled.append(Settled.of(frame, *effects))
            step = self._step(0)
        return Ended(frame.nonce not in step.lost, frame.nonce in step.fired)

    def _step(self, wanted: int) -> Step:
        try:
            step = self.queue.step(wanted, self._unsettled)
        except Exception:
            self._in_doubt = True
            raise
        self._running -= {each.nonce for each in self._unsettled}
        self._unsettled = []
        return step

    def _reap(self) -> None:
        now = time.monotonic()
        if now < self._reap_at:
            return
        self._reap_at = now + REAP_EVERY
        self.queue.expire_gone()
        try:
            found = self.queue.reap()
        except Exception:
            self._in_doubt = True
            raise
        for dead, frames in enumerate(found):
            for frame in frames:
                self.stalled(Taken(frame, self), bool(dead))


class Pumped:
    """Many hands at one pump, which settles for all of them in one round trip and takes anew."""

    def __init__(self, place: Place, name: str, process: str, stalled: Stalled) -> None:
        self.client, listening = place.dedicated(TIMEOUT), place.dedicated(TIMEOUT)
        self.queue = Leased(self.client, name, process)
        self.pump = Pump(self.queue, 0)
        self.pump.on_stalled = lambda frame, dead: stalled(Taken(frame, self), dead)
        self.bell = Bell(listening)
        self.bell.ring = {name: self.pump.ring}
        self.bell.start()
        threading.Thread(target=self.pump.run, name=f"pump-{name}", daemon=True).start()

    def take(self) -> Frame | None:
        return self.pump.take()

    def hold(self, frame: Frame) -> None:
        self.pump.hold(frame)

    def settle(self, frame: Frame, effects: Sequence[Effect], wait: bool) -> Ended:
        if not wait:
            self.pump.settle(frame, *effects)
            return Ended(True)
        came: list[Ended] = []
        there = threading.Event()

        def told(ours: bool | None, fired: bool) -> None:
            came.append(Ended(bool(ours), fired))
            there.set()

        self.pump.settle(frame, *effects, told=told)
        while not there.wait(1):
            if self.pump.wait_settled(0):  # it has given up
                break
        return came[0] if came else Ended(False)

    def end(self) -> None:
        """Take no more; what still runs goes back to the queue."""
        self.pump.end()
        self.pump.give_back_running()
        if not self.pump.wait_settled(SETTLE):
            log.warning("what a consumer had done is not all settled: it may be done again")
        self.bell.stop()
        try:
            self.queue.leave()
        except Exception as exc:
            log.warning("the leases of this consumer will lapse by themselves: %s", exc)
        self.client.close()


class Locks:
    """The locks that this process holds until it lets go: renewed together with its leases."""

    def __init__(self, name: str) -> None:
        self.prefix = Keys(name).prefix
        self.client: Redis | None = None
        self.tokens: dict[str, bytes] = {}

    def beat(self) -> bool:
        held = list(self.tokens.items())
        if held:
            args = [int(leased.LEASE * 1000), *(part for pair in held for part in pair)]
            scripts.RENEW(keys=[self.prefix], args=args, using=self.client)
        return True


class Here:
    """What one process has of one queue: its signs of life, its locks, its hands."""

    def __init__(self, place: Place, name: str, stalled: Stalled) -> None:
        self.place = place
        self.name = name
        # Each kind of hands has leases of its own, which the other must not take for lost.
        self.names = {"single": me(), "pumped": me()}
        self.stalled = stalled
        self.locks = Locks(name)
        self._single: Single | None = None
        self.pumped: Pumped | None = None
        """Where a consumer runs in this process."""
        self._users = 0
        self._heartbeat: Heartbeat | None = None
        self._lock = threading.RLock()

    def hands(self) -> Hands:
        found = self.pumped
        if found is not None:
            return found
        self.live()
        if self._single is None:
            queue = Leased(self.place.client(), self.name, self.names["single"])
            self._single = Single(queue, self.stalled)
        return self._single

    def live(self) -> None:
        """Renew the leases of this process from here on, its locks' too."""
        with self._lock:
            if self._heartbeat is None:
                client = self.place.dedicated(TIMEOUT)
                self.locks.client = client
                leases = [Leased(client, self.name, name) for name in self.names.values()]
                self._heartbeat = Heartbeat([*leases, self.locks])
                self._heartbeat.start()

    def arrive(self) -> None:
        """One more that runs tasks; the first starts the pump."""
        with self._lock:
            self.live()
            self._users += 1
            if self.pumped is None:
                self.pumped = Pumped(self.place, self.name, self.names["pumped"], self.stalled)
            self.pumped.pump.size = self._users
            self.pumped.pump.ring()

    def leave(self) -> None:
        """One less; the last ends the pump."""
        with self._lock:
            self._users = max(0, self._users - 1)
            if self.pumped is None or self._users:
                return
        self.end()

    def end(self) -> None:
        with self._lock:
            found, self.pumped, self._users = self.pumped, None, 0
        if found is not None:
            found.end()

    def close(self) -> None:
        """Whatever is taken and not settled is others' at once."""
        self.end()
        if self._single is not None:
            with suppress(Exception):  # it lapses by itself
                self._single.queue.leave()
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None
