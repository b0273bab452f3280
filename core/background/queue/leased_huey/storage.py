"""Huey's storage on a leased queue: its queue, schedule, results and counters, all of them in one slot of Redis.

What Huey stores once a task's function has returned is not written at once. It goes with giving up the task's lease,
all of it or, where the lease was lost, none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from huey.constants import EmptyData
from huey.storage import BaseStorage

from core.background.queue import leased, scripts as queue_scripts
from core.background.queue.frames import RANKED, Frame, frame, head_of
from core.background.queue.keys import Keys
from core.background.queue.leased_huey import scripts
from core.background.queue.leased_huey.completion import Completion, gathering
from core.background.queue.leased_huey.hands import Ended, Here, Stalled, Taken
from core.background.queue.leased_huey.places import Place

Key = str | bytes

_nonce: ContextVar[bytes | None] = ContextVar("nonce", default=None)


@contextmanager
def under(nonce: bytes | None) -> Iterator[None]:
    """What is enqueued here is known by this nonce: the same again within half an hour is not enqueued."""
    token = _nonce.set(nonce)
    try:
        yield
    finally:
        _nonce.reset(token)


class LeasedStorage(BaseStorage):
    """``name`` is the Huey's; in Redis its queue is called ``huey.<name>``. Errors are redis-py's own."""

    priority = True

    def __init__(self, name: str, place: Place, utc: bool, stalled: Stalled) -> None:
        super().__init__(name)
        self.queue = f"huey.{name}"
        self.keys = Keys(self.queue)
        self.place = place
        self.utc = utc
        self.stalled = stalled
        self._here: dict[int, Here] = {}

    @property
    def here(self) -> Here:
        """Of this process: none of it may be shared with one that was forked."""
        found = self._here.get(os.getpid())
        return found or self._here.setdefault(os.getpid(), Here(self.place, self.queue, self.stalled))

    @property
    def blocking(self) -> bool:
        return self.here.pumped is not None

    def close(self) -> bool:
        """Show no more signs of life: what this process has taken is others' at once."""
        if (here := self._here.pop(os.getpid(), None)) is not None:
            here.close()
        return True

    # -- leases --

    def take(self) -> Taken | None:
        hands = self.here.hands()
        found = hands.take()
        return None if found is None else Taken(found, hands)

    def adopt(self, message: bytes, priority: float | None) -> Taken:
        """A lease for a task that never was on the queue."""
        raw = framed(message, priority)
        taken = Taken(Frame.read(raw), self.here.hands())
        taken.hands.hold(taken.frame)
        try:
            self._run(scripts.ADOPT, taken.hands.queue.process, int(leased.LEASE * 1000), taken.frame.nonce, raw)
        except BaseException:  # should it be leased, others do it
            self.give_back(taken)
            raise
        return taken

    def settle(self, taken: Taken, done: Completion) -> Ended:
        return taken.settle(*done.effects, wait=bool(done.told))

    def any_revoked(self) -> bool:
        """Whether a task that was taken now may be revoked: a pump is told so with what it takes."""
        pumped = self.here.pumped
        return pumped is None or pumped.pump.revoked > 0

    def give_back(self, taken: Taken) -> None:
        """While Redis is away it goes with the next step."""
        from redis.exceptions import RedisError

        with suppress(RedisError):
            taken.settle(("back", "", taken.frame.raw()))

    def bury(self, taken: Taken, why: str, *effects: leased.Effect) -> None:
        """Keep it with the dead, for somebody to look at."""
        told = json.dumps({"error": why, "ended_at": datetime.now(UTC).isoformat()}).encode()
        kept = ("dead", taken.frame.key, told + b"\n" + taken.frame.raw())
        taken.settle(kept, ("count", "failed", 1), *effects)

    def dead(self) -> dict[str, str]:
        """By key, why each was given up."""
        found: Any = self.place.client().hgetall(self.keys.dead)
        return {key.decode(): json.loads(value.partition(b"\n")[0])["error"] for key, value in found.items()}

    def replay(self, key: str) -> bool:
        """Put one of the dead on the queue again; False where it is not there."""
        value: Any = self.place.client().hget(self.keys.dead, key)
        if value is None:
            return False
        kept = Frame.read(value.partition(b"\n")[2])
        return bool(self._run(queue_scripts.REPLAY, key, frame(kept.message, kept.head), "", "", "", 0))

    # -- the queue --

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        nonce = _nonce.get()
        raw = framed(data, priority, nonce)
        if (done := gathering()) is not None:
            done.effects.append(("put", 0, raw))
            return
        leased.Leased(self.place.client(), self.queue, "").push([(0, raw)], once=nonce is not None)

    def dequeue(self) -> bytes | None:
        """For good: bytes have no lease. ``LeasedHuey.dequeue`` takes tasks that come back if they are not done."""
        taken = self.take()
        if taken is None:
            return None
        taken.settle()
        return taken.frame.message

    def queue_size(self) -> int:
        client: Any = self.place.client()
        return int(client.llen(self.keys.lane("")) + client.zcard(self.keys.ranked("")))

    def enqueued_items(self, limit: int | None = None) -> list[bytes]:
        client: Any = self.place.client()
        last = (limit or 0) - 1
        ranked = [(raw[RANKED:], score) for raw, score in client.zrange(self.keys.ranked(""), 0, last, withscores=True)]
        found = [raw for raw, score in ranked if score < 0]
        found += client.lrange(self.keys.lane(""), 0, last)
        found += [raw for raw, score in ranked if score > 0]
        return _messages(found[:limit] if limit else found)

    def flush_queue(self) -> None:
        self.place.client().delete(
            *(key("") for key in (self.keys.first, self.keys.lane, self.keys.ranked)), self.keys.turns
        )

    # -- the schedule --

    def add_to_schedule(self, data: bytes, ts: datetime, priority: float | None = None) -> None:
        raw = framed(data, priority)
        if (done := gathering()) is not None:
            done.effects.append(("put", self._milliseconds(ts), raw))
            return
        self.place.client().zadd(self.keys.sched, {raw: self._milliseconds(ts)})

    def read_schedule(self, ts: datetime) -> list[bytes]:
        return _messages(self._run(scripts.DUE, self._milliseconds(ts)))

    def schedule_size(self) -> int:
        return int(self.place.client().zcard(self.keys.sched))

    def scheduled_items(self, limit: int | None = None) -> list[bytes]:
        found: Any = self.place.client().zrange(self.keys.sched, 0, (limit or 0) - 1)
        return _messages(found)

    def flush_schedule(self) -> None:
        self.place.client().delete(self.keys.sched)

    def _milliseconds(self, ts: datetime) -> int:
        """Huey's times have no zone: they are UTC or, for a Huey with ``utc=False``, local."""
        if ts.tzinfo is None and self.utc:
            ts = ts.replace(tzinfo=UTC)
        return int(ts.timestamp() * 1000)

    # -- results, revocations, locks --

    def put_data(self, key: Key, value: bytes, is_result: bool = False) -> None:
        if (done := gathering()) is not None:
            done.effects.append(("keep", key, value))
            return
        self._run(scripts.PUT, key, value)

    def peek_data(self, key: Key) -> Any:
        return self.peek_many([key]).get(key, EmptyData)

    def peek_many(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        found = self._run(scripts.PEEK, *keys) if keys else []
        return {key: value for key, value in zip(keys, found, strict=True) if value is not None}

    def pop_data(self, key: Key) -> Any:
        value = self._run(scripts.POP, key)
        return EmptyData if value is None else value

    def delete_data(self, key: Key) -> bool:
        if (done := gathering()) is not None:
            done.effects.append(("unset", key, ""))
            return True
        return self.pop_data(key) is not EmptyData

    def has_data_for_key(self, key: Key) -> bool:
        return self.peek_data(key) is not EmptyData

    def put_if_empty(self, key: Key, value: bytes, ttl: float | None = None) -> bool:
        return bool(self._run(scripts.PUT_IF_EMPTY, key, value, int((ttl or 0) * 1000)))

    def lock(self, key: str, token: bytes, ttl: float | None) -> bool:
        """Without ``ttl`` (seconds) it is renewed for as long as this process lives."""
        if not self.put_if_empty(key, token, ttl or leased.LEASE):
            return False
        if ttl is None:
            self.here.locks.tokens[key] = token
            self.here.live()
        return True

    def unlock(self, key: str, token: bytes) -> bool:
        """Only where it has this token."""
        if self.here.locks.tokens.get(key) == token:
            del self.here.locks.tokens[key]
        return bool(self._run(scripts.DELETE_IF, key, token))

    def result_store_size(self) -> int:
        return int(self._run(scripts.SIZE))

    def result_items(self) -> dict[str, bytes]:
        found = [part for each in self._run(scripts.ALL) for part in each]
        return {key.decode(): value for key, value in zip(found[::2], found[1::2], strict=True)}

    def flush_results(self) -> None:
        self.place.client().delete(*(self.keys.prefix + name for name in ("res", "rev", "res_until", "chords")))

    # -- counters, chords --

    def gathered(self, chord: str, size: int) -> list[bytes | None]:
        """The results of a chord's members, in their order."""
        client: Any = self.place.client()
        members = [f"{chord}:{member}" for member in range(size)]
        return list(client.hmget(self.keys.prefix + "chords", members)) if members else []

    def incr(self, key: Key, amount: int = 1) -> int:
        return int(self.place.client().hincrby(self._counters, key, amount))

    def delete_counter(self, key: Key) -> None:
        self.place.client().hdel(self._counters, key)

    def flush_counters(self) -> None:
        self.place.client().delete(self._counters)

    @property
    def _counters(self) -> str:
        return self.keys.prefix + "counters"

    def _run(self, script: Any, *args: Any) -> Any:
        return script(keys=[self.keys.prefix], args=args, using=self.place.client())


def framed(message: bytes, priority: float | None, nonce: bytes | None = None) -> bytes:
    return frame(message, head_of(round(priority or 0)), nonce)


def _messages(frames: Sequence[bytes]) -> list[bytes]:
    return [Frame.read(raw).message for raw in frames]
