"""The one greenlet of a worker that talks to a queue: it takes jobs for the others and settles what they have done.

Renewing the lease, settling and taking are one round trip, with never more than one under way: what is finished
meanwhile goes with the next. After an error nobody knows whether the step was done: settled jobs are sent again, which
does nothing twice, and what Redis says that we hold and we do not know of is adopted.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from threading import Event

from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, RedisError, TimeoutError

from core.background.queue.frames import Frame
from core.background.queue.leased import LEASE, Effect, Leased, Settled, Told
from core.background.queue.ready import Ready
from core.background.queue.resting import Resting

log = logging.getLogger(__name__)

IDLE = 1.0
"""Seconds between two steps when there is nothing to do and no bell rings."""
REAP_EVERY = 2.0
AGAIN = 0.5
"""Seconds, about, between two tries while Redis is away."""
FRESH = 0.6
"""The part of a lease after which nothing that is leased is begun before the lease was renewed."""


AHEAD, OF_IDLE, MOST_AHEAD = 0.001, 0.005, 200
"""Seconds within which what is taken ahead will have been begun, as things go: while all hands are at work, and while
none is, for then the jobs are small; and how much that is at most. More of it has whoever comes then wait for longer.
"""
SLICE = 0.001
"""Seconds for which hands go from job to job before they let the pump have a turn: it takes while they work, and
whoever comes meanwhile is not kept waiting by jobs that wait for nothing."""
STALE = 0.1
"""Seconds without a free hand after which what was taken ahead is left to others."""


class Pump:
    """Has at most ``size`` jobs of one queue running, and ``ahead`` more that wait here for a hand.

    Without ``ahead`` that follows the pace: where a job takes a second none is taken early, and where thousands are
    done in one, a step brings many.
    """

    def __init__(self, queue: Leased, size: int, ahead: int | None = None) -> None:
        self.queue = queue
        self.size = size
        self._fixed = ahead
        self._pace = self._load = self._worked = self._stepped = self._moved = self._turned = 0.0
        self.ending = False
        self.away = False
        self.revoked = 0
        self._ready = Ready()
        self._running: dict[bytes, Frame] = {}
        self._since: dict[bytes, float] = {}
        self._settled: deque[Settled] = deque()
        self._wake = Event()
        self._resting = Resting()
        self._begun = False
        self._ended = Event()
        self._reap_at = self._renewed = 0.0
        self.on_stalled: Callable[[Frame, bool], None] = _tell
        """Called with each job of a process that fell silent, and whether that was the last time: then it is to be
        settled, and is told again after an error."""

    # -- for those who work --

    def take(self, timeout: float = 1.0) -> Frame | None:
        """The next job, or ``None`` when there is none within so many seconds, or the worker ends."""
        self._give_way()
        deadline = time.monotonic() + timeout
        while not self.ending:
            if self._has_some() and (frame := self._next()) is not None:
                return frame
            if (left := deadline - time.monotonic()) <= 0:
                return None
            self._resting.rest(left, unless=self._has_some)
        return None

    def _give_way(self) -> None:
        """To the pump, and whoever else wants the loop, where hands have gone from job to job for a while."""
        now = time.monotonic()
        if now - self._turned > SLICE:
            self._turned = now
            time.sleep(0)

    def _has_some(self) -> bool:
        return bool(self._ready) and self._is_fresh()

    def hold(self, frame: Frame) -> None:
        """It is leased by other means, and settled here."""
        self._running[frame.nonce] = frame

    def _next(self) -> Frame | None:
        if (frame := self._ready.take()) is None:  # another was faster
            return None
        self._moved = now = time.monotonic()
        self._running[frame.nonce] = frame
        self._since[frame.nonce] = now
        if self._ready:
            self._resting.rouse()
        else:
            self._wake.set()
        return frame

    def _is_fresh(self) -> bool:
        """Whether what is ready here is ours for certain. After a standstill a step must tell first."""
        if time.monotonic() - self._renewed < LEASE * FRESH:
            return True
        self._wake.set()
        return False

    def settle(self, frame: Frame, *effects: Effect, told: Told | None = None) -> None:
        """The job is done with; its effects happen with the next step, unless the lease was lost.

        ``told`` is called then, and must be quick.
        """
        self._settled.append(Settled.of(frame, *effects, told=told))
        self._running.pop(frame.nonce, None)
        if (since := self._since.pop(frame.nonce, None)) is not None:
            self._worked += time.monotonic() - since
        self._wake.set()

    def give_back(self, frame: Frame) -> None:
        """The job was not done, and goes to the front of the queue."""
        self.settle(frame, ("back", "", frame.raw()))

    @property
    def running(self) -> int:
        return len(self._running)

    def ring(self) -> None:
        """There may be something new on the queue."""
        self._wake.set()

    # -- the greenlet --

    def run(self) -> None:
        """Until ``end`` is called and everything is settled, or Redis cannot be reached any more by then."""
        try:
            while not (self.ending and not self._running and not self._settled):
                self._turn()
        finally:
            self._ended.set()

    def end(self) -> None:
        """Take nothing more; give back what nobody has begun."""
        self.ending = True
        self._give_back_ready()
        self._resting.rouse_all()
        self._wake.set()

    def _give_back_ready(self) -> None:
        for frame in self._ready.empty():
            self.give_back(frame)

    def give_back_running(self) -> None:
        """What is not done goes back, for whoever does it cannot be waited for."""
        for frame in list(self._running.values()):
            self.give_back(frame)

    def wait_settled(self, timeout: float) -> bool:
        """Whether all that was done is settled within so many seconds of the end."""
        return self._ended.wait(timeout)

    def _turn(self) -> None:
        self._wake.clear()
        try:
            pause = self._step()
        except (ConnectionError, TimeoutError, ReadOnlyError, OutOfMemoryError) as exc:
            self._lost_sight(exc)
            return
        except RedisError:
            log.exception("a step was refused", extra={"queue": self.queue.name})
            time.sleep(1)
            return
        except BaseException:  # a worker that lives and takes nothing would be missed by nobody
            log.exception("a step failed; what it has taken is adopted", extra={"queue": self.queue.name})
            self.away = True
            time.sleep(1)
            return
        self._in_sight()
        if pause > 0:
            self._wake.wait(min(pause, STALE) if self._ready else pause)

    def _step(self) -> float:
        """One step; answers how long there is nothing to do."""
        self._leave_stale()
        sent, began = self._taken_out(), time.monotonic()
        self._keep_pace(len(sent), began)
        wanted = self._wanted()
        try:
            step = self.queue.step(wanted, sent)
        except BaseException:
            self._settled.extendleft(reversed(sent))
            raise
        for each in sent:
            if each.told:
                lost = each.nonce in step.lost
                each.told(None if lost and self.away else not lost, each.nonce in step.fired)
        if step.lost and not self.away:
            log.warning("jobs were done by us and are somebody else's by now", extra={"many": len(step.lost)})
        if self._begun and not step.known:
            log.error("this worker was given up for dead: what it had not begun is others' work now")
            self._ready.empty()
        self._begun, self._renewed, self.revoked = True, began, step.revoked
        self._offer(step.taken)
        if self.away:
            self._adopt()
        self._reap()
        if self._settled or (step.waiting and len(step.taken) < wanted):
            return 0
        return IDLE if step.soon < 0 else min(IDLE, step.soon / 1000)

    def _taken_out(self) -> list[Settled]:
        """What there is to settle; whatever comes meanwhile goes with the next step."""
        return [self._settled.popleft() for _ in range(len(self._settled))]

    def _keep_pace(self, settled: int, now: float) -> None:
        """How many are done in a second, of late, and how many hands that keeps at work."""
        passed = max(now - self._stepped, 1e-6)
        weight = min(1.0, passed / 0.25)
        self._pace += (settled / passed - self._pace) * weight
        self._load += (self._worked / passed - self._load) * weight
        self._stepped = self._turned = now
        self._worked = 0.0

    def _wanted(self) -> int:
        if self.ending:
            return 0
        return max(0, self.size + self._ahead() - len(self._running) - len(self._ready))

    def _ahead(self) -> int:
        if self._fixed is not None:
            return self._fixed
        at_work = min(1.0, self._load / max(1, self.size))
        return min(MOST_AHEAD, int(self._pace * (AHEAD * at_work + OF_IDLE * (1 - at_work))))

    def _leave_stale(self) -> None:
        """All hands have long jobs, against what the pace had promised."""
        if self._fixed is None and self._ready and time.monotonic() - self._moved >= STALE:
            self._pace = 0.0
            self._give_back_ready()

    def _offer(self, frames: list[Frame]) -> None:
        if frames:
            self._ready.put(frames)
            self._moved = time.monotonic()
        if self._ready:
            self._resting.rouse()
        if self.ending:
            self.end()

    def _adopt(self) -> None:
        """What a step has taken whose reply was lost."""
        known = {frame.nonce for frame in self._ready} | self._running.keys() | {each.nonce for each in self._settled}
        taken, dead = self.queue.held()
        self._offer([frame for frame in taken if frame.nonce not in known])
        for frame in dead:
            if frame.nonce not in known:
                self.on_stalled(frame, True)

    def _reap(self) -> None:
        now = time.monotonic()
        if now < self._reap_at:
            return
        self._reap_at = now + REAP_EVERY * random.uniform(0.5, 1.0)
        self.queue.expire_gone()
        stalled, dead = self.queue.reap()
        for frame in stalled:
            self.on_stalled(frame, False)
        for frame in dead:
            self.on_stalled(frame, True)

    def _lost_sight(self, exc: RedisError) -> None:
        if not self.away:
            self.away = True
            log.warning("Redis is away, jobs wait: %s", exc)
        time.sleep(AGAIN * random.uniform(0.5, 1.5))

    def _in_sight(self) -> None:
        if self.away:
            self.away = False
            log.info("Redis is back")


def _tell(frame: Frame, dead: bool) -> None:
    log.error("a job of a worker that fell silent was taken back", extra={"dead": dead})
