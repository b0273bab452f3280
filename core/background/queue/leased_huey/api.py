"""``LeasedHuey``: Huey as its users know it, on leases.

A task is leased when it is taken and acknowledged when Huey has executed it, in one step with its result, the next of
its pipeline, its retry, its error handler or its part in a chord. Signals and hooks are told after that step.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from greenlet import GreenletExit  # type: ignore[import-untyped]
from huey import signals
from huey.api import Huey, Task
from huey.utils import Error

from core.background.queue.keys import OF_HUEY
from core.background.queue.leased import Effect
from core.background.queue.leased_huey.completion import Completion, completing, current, gathering
from core.background.queue.leased_huey.consumer import LeasedConsumer
from core.background.queue.leased_huey.hands import Taken
from core.background.queue.leased_huey.owned_lock import OwnedLock
from core.background.queue.leased_huey.places import OfItsOwn, OfTheBoard, Place
from core.background.queue.leased_huey.signed_json import Gathered, SignedJson
from core.background.queue.leased_huey.storage import LeasedStorage, framed
from core.data.faults import as_refusal

log = logging.getLogger(__name__)

STALLED = "its process died or fell silent while it ran, again and again"
SHORTEST = 16
"""Characters of a secret of its own."""
AT_ONCE = datetime.fromtimestamp(0, UTC)


class LeasedHuey(Huey):
    """``LeasedHuey("shop")`` uses the board's Redis and keys, and wants an app's context wherever it is used.

    ``LeasedHuey("shop", url="redis://…", secret="…")`` stands alone. Other options are Huey's, but ``serializer``,
    ``compression`` and ``storage_class``: messages are signed JSON.
    """

    def __init__(
        self, name: str = "huey", *, url: str | None = None, secret: str | None = None, **options: Any
    ) -> None:
        if (url is None) != (secret is None):
            raise ValueError("give both, url and secret, or neither for those of the board")
        if secret is not None and len(secret) < SHORTEST:
            raise ValueError(f"the secret has {len(secret)} characters, and needs {SHORTEST} that nobody can guess")
        if not OF_HUEY.fullmatch(f"huey.{name}"):
            raise ValueError(f"{name!r} is no name for a LeasedHuey: take letters, digits, _, - and ., at most 64")
        self.place: Place = OfTheBoard() if url is None or secret is None else OfItsOwn(url, secret)
        super().__init__(name, serializer=SignedJson(self.place), storage_class=LeasedStorage, **options)

    def get_storage(self, **options: Any) -> LeasedStorage:
        return LeasedStorage(self.name, self.place, self.utc, self._stalled, **options)

    def create_consumer(self, **options: Any) -> LeasedConsumer:
        return LeasedConsumer(self, **options)

    def lock_task(self, lock_name: str, ttl: float | None = None) -> Any:
        if self.immediate:
            return super().lock_task(lock_name, ttl)
        return OwnedLock(self, lock_name, ttl)

    # -- taking --

    def dequeue(self) -> Task | None:
        if self.immediate:
            return super().dequeue()
        taken = self.storage.take()
        if taken is None:
            return None
        try:
            task = self.deserialize_task(taken.frame.message)
        except Exception as exc:
            if _is_away(exc):  # of whom it wanted to know what the members of its chord answered
                self.storage.give_back(taken)
                raise
            log.error("a task cannot be read and is kept with the dead: %s", exc, extra={"queue": self.name})
            self.storage.bury(taken, f"{type(exc).__name__}: {exc}")
            raise
        task.taken = taken
        return task

    def deserialize_task(self, data: bytes) -> Task:
        """The callback of a chord comes with the results of its members."""
        task = super().deserialize_task(data)
        for each in task.args if type(task.args) is tuple else ():
            if type(each) is Gathered:
                task.gathered = each
                task.args = tuple(self._results(arg) if arg is each else arg for arg in task.args)
        return task

    def _results(self, gathered: Gathered) -> list[Any]:
        found = self.storage.gathered(gathered.chord, gathered.size)
        return [None if value is None else self.serializer.deserialize(value) for value in found]

    def read_schedule(self, timestamp: datetime | None = None) -> list[Task]:
        """What is due goes to the queue when tasks are taken; only at a time of the caller's it is handed over here."""
        if timestamp is None and not self.immediate:
            return []
        return list(super().read_schedule(timestamp))

    def add_schedule(self, task: Task) -> None:
        if self.immediate:
            super().add_schedule(task)
            return
        self.storage.add_to_schedule(self.serialize_task(task), task.eta or AT_ONCE, task.priority)
        self._emit(signals.SIGNAL_SCHEDULED, task)

    # -- executing --

    def is_revoked(self, task: Any, timestamp: datetime | None = None, peek: bool = True) -> bool:
        if gathering() is not None and not self.storage.any_revoked():
            return False
        return bool(super().is_revoked(task, timestamp, peek))

    def execute(self, task: Task, timestamp: datetime | None = None) -> Any:
        if self.immediate:
            return super().execute(task, timestamp)
        taken = task.__dict__.pop("taken", None) or self.storage.adopt(self.serialize_task(task), task.priority)
        done = Completion()
        if gathered := task.__dict__.pop("gathered", None):
            done.effects.append(("gathered", *gathered))
        with completing(done):
            try:
                value = super().execute(task, timestamp)
            except (KeyboardInterrupt, GreenletExit):  # the consumer ends
                self.storage.give_back(taken)
                raise
            except BaseException as exc:
                if _is_away(exc):  # no error of the task's own: those do not get here
                    self.storage.give_back(taken)
                else:
                    self._cannot_end(task, taken, exc)
                raise
        if done.interrupted:
            self.storage.give_back(taken)
            return None
        self._end(task, taken, done)
        return value

    def _end(self, task: Task, taken: Taken, done: Completion) -> None:
        ours, fired = self.storage.settle(taken, done)
        if not ours:
            log.warning("a task was done by us and is somebody else's by now", extra={"task": task.id})
            return
        for tell in done.told:
            tell(fired)

    def _cannot_end(self, task: Task, taken: Taken, exc: BaseException) -> None:
        """A result that JSON cannot carry, or a call of ``exit``: whoever waits is told, and the task is kept."""
        done = self._failed(task, exc)
        log.error("a task ran, but what follows cannot be stored: it is kept with the dead: %s", exc)
        self.storage.bury(taken, f"{type(exc).__name__}: {exc}", *done.effects)

    def _failed(self, task: Task, exc: BaseException) -> Completion:
        """What follows for those who wait for its result, or for its chord."""
        done = Completion()
        error = Error(self.build_error_result(task, exc))
        with completing(done):
            if self.results:
                self.put_result(task.id, error)
            self._abort_chord_member(task, error)
        return done

    def _stalled(self, taken: Taken, dead: bool) -> None:
        """A task of a process that died, or fell silent; ``dead`` after the last time that it may, then it is ours."""
        facts = {"queue": self.name}
        if not dead:
            log.error("task stalled: its process fell silent; it is run again", extra=facts)
            return
        log.error("task stalled too often and is kept with the dead", extra=facts)
        taken.hands.hold(taken.frame)
        effects: list[Effect] = []
        with self.place.context(), suppress(Exception):  # if it cannot be read, nobody waits for it
            effects = self._failed(self.deserialize_task(taken.frame.message), RuntimeError(STALLED)).effects
        self.storage.bury(taken, STALLED, *effects)

    @contextmanager
    def _timeout_context(self, task: Task) -> Iterator[None]:
        """Huey runs the task's function, and nothing else, inside of this."""
        with super()._timeout_context(task), _theirs():
            yield

    def _run_pre_execute(self, task: Task) -> None:
        with _theirs():
            super()._run_pre_execute(task)

    def _run_post_execute(self, task: Task, value: Any, exception: BaseException | None) -> None:
        if self._post_execute:
            self._then(partial(super()._run_post_execute, task, value, exception))

    def _emit(self, signal: str, task: Task, *args: Any, **kwargs: Any) -> None:
        done = current()
        if signal == signals.SIGNAL_INTERRUPTED and done is not None:
            done.interrupted = True
        emit = partial(super()._emit, signal, task, *args, **kwargs)
        if signal in (signals.SIGNAL_EXECUTING, signals.SIGNAL_INTERRUPTED):
            with _theirs():
                emit()
        elif self._heard(signal):
            self._then(emit)

    def _heard(self, signal: str) -> bool:
        """Whether anybody listens; if not, nobody waits for the step either."""
        return any(self._signal.receivers.get(which) for which in (signal, "any"))

    def _then(self, tell: Any) -> None:
        """Now or, while a task ends, when that is settled."""
        if (done := gathering()) is None:
            tell()
        else:
            done.told.append(lambda fired: tell())

    # -- chords --

    def _check_chord(self, config: Any, value: Any) -> None:
        """The step that settles the last member puts the callback on the queue."""
        done = gathering()
        if done is None:
            super()._check_chord(config, value)
            return
        callback = copy.copy(config.callback)
        callback.args = (*callback.args, Gathered(config.cid, config.size))
        if callback.expires:
            callback.resolve_expires(self.utc)
        message = self.serialize_task(callback)
        done.effects.append(("member", f"{config.cid}:{config.idx}", self.serializer.serialize(value)))
        done.effects.append(("fire", f"{config.cid}:{config.size}", framed(message, callback.priority)))

        def enqueued(fired: bool) -> None:
            if fired:
                self._emit(signals.SIGNAL_ENQUEUED, self.deserialize_task(message))

        if self._heard(signals.SIGNAL_ENQUEUED):
            done.told.append(enqueued)


def _is_away(exc: BaseException) -> bool:
    refusal = as_refusal(exc)
    return refusal is not None and refusal.code.status == 503


@contextmanager
def _theirs() -> Iterator[None]:
    """Around code of the task's author."""
    if (done := current()) is None:
        yield
    else:
        with done.running():
            yield
