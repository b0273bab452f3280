"""Our Huey: its workers take what the pump has leased, and each job ends with the pump settling it.

Huey's consumer and worker are kept. What differs lies under them: stock Huey takes a job off its queue before it runs
it, and whoever kills the worker kills the job. Results, revocation, its scheduler and its registry are not used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Flask
from huey.api import Huey
from huey.consumer import Worker
from huey.storage import BaseStorage

from core import telemetry
from core.background.queue import delivery, messages, settling
from core.background.queue.frames import Frame
from core.background.queue.pump import Pump
from core.background.queue.running import Outcome, WorkerEnds, attempt
from core.background.queue.stories import Held
from core.background.queue.timeouts import JobTimeout
from core.background.queue.words import said
from core.data.faults import as_refusal
from core.data.outbox import Envelope

log = logging.getLogger(__name__)


class Storage(BaseStorage):
    """A queue through its pump, which alone talks to Redis."""

    blocking = True

    def __init__(self, name: str, pump: Pump) -> None:
        super().__init__(name)
        self.pump = pump

    def dequeue(self) -> Frame | None:
        return self.pump.take()

    def read_schedule(self, ts: Any) -> list[bytes]:
        """The pump promotes what is due."""
        return []


class Job(NamedTuple):
    """A leased envelope in the hands of Huey's worker, which wants of a task that it has an id."""

    frame: Frame
    envelope: Envelope

    @property
    def id(self) -> str:
        return str(self.envelope.id)


class Hand(Worker):
    """One of those that run jobs, with an app context for as long as it lives; each job has one of its own besides."""

    def initialize(self) -> None:
        super().initialize()
        self.context = self.huey.app.app_context()
        self.context.push()

    def shutdown(self) -> None:
        super().shutdown()
        self.context.pop()


class BoardHuey(Huey):
    """``dequeue`` and ``execute`` want an app context. ``attempt`` runs a job: here, or in another process."""

    def __init__(self, app: Flask, pump: Pump, attempt: Callable[[Envelope, Flask, Held], Outcome] = attempt) -> None:
        super().__init__(pump.queue.name, results=False, storage_class=Storage, pump=pump)
        self.app = app
        self.pump = pump
        self.attempt = attempt
        pump.on_stalled = self._stalled
        # What becomes of a job is told in `running`; Huey would tell it again.
        logging.getLogger("huey").setLevel(logging.WARNING)

    def dequeue(self) -> Job | None:
        try:
            frame = self.storage.dequeue()
            return None if frame is None else self._read(frame)
        except (Exception, WorkerEnds):
            raise
        except BaseException:  # a timer that a job set and left behind, and which would end this hand for good
            log.exception("something that a job left behind struck a hand that was free", extra={"queue": self.name})
            return None

    def _read(self, frame: Frame) -> Job | None:
        try:
            envelope = messages.decode(frame.message)
        except messages.BadMessage as exc:
            log.error("a message on the queue is kept with the dead: %s", exc, extra={"size": len(frame.message)})
            self.pump.settle(frame, *settling.unreadable(frame, str(exc)))
            return None
        try:
            return None if self._passed_on(frame, envelope) else Job(frame, envelope)
        except BaseException as exc:  # neither run nor settled, it would be ours for as long as we live
            self.pump.give_back(frame)
            if as_refusal(exc) is None:
                raise
            log.warning("job goes back to the queue: %s", exc, extra={"job": str(envelope.id), "queue": self.name})
            return None

    def _stalled(self, frame: Frame, dead: bool) -> None:
        """Of a worker that died, or fell silent, while it ran; ``dead``: we are to settle it."""
        with self.app.app_context():
            telemetry.count("stalled_total", queue=self.name)
            try:
                envelope = messages.decode(frame.message)
            except messages.BadMessage as exc:
                if dead:
                    self.pump.settle(frame, *settling.unreadable(frame, str(exc)))
                return
            facts = {"task": envelope.name, "job": str(envelope.id), "queue": self.name}
            if not dead:
                log.error("job stalled: its worker fell silent; it is run again", extra=facts)
                return
            log.error("job stalled too often and is kept with the dead", extra=facts)
            telemetry.count("jobs_total", task=envelope.name, outcome="failed")
            self.pump.settle(frame, *settling.given_up(frame, envelope))

    def _passed_on(self, frame: Frame, envelope: Envelope) -> bool:
        """A job whose enqueuer did not know its queue, limits or followers goes there now."""
        if delivery.is_at_home(envelope, frame, self.name):
            return False
        delivery.pass_on(envelope, frame.nonce, self.name)
        self.pump.settle(frame)
        return True

    def execute(self, task: Job, timestamp: Any = None) -> None:
        try:
            outcome = self.attempt(task.envelope, self.app, self.pump.queue.held_as(task.frame))
            effects = settling.effects_of(task.frame, outcome, self.name)
        except JobTimeout:  # it came when the job had just ended
            self.pump.give_back(task.frame)
            return
        except WorkerEnds:
            facts = {"task": task.envelope.name, "job": task.id}
            log.warning("job goes back to the queue: the worker ends", extra=facts)
            self.pump.give_back(task.frame)
            raise
        except BaseException as exc:  # no task's, which are all told in its outcome: it would come again and again
            facts = {"task": task.envelope.name, "job": task.id}
            log.exception("a job cannot be run: it is kept with the dead", extra=facts)
            self.pump.settle(task.frame, *settling.unreadable(task.frame, f"it could not be run: {said(exc)}"))
            return
        self.pump.settle(task.frame, *effects, told=settling.told_of(outcome, effects))

    def read_schedule(self, timestamp: Any = None) -> list[Any]:
        return []
