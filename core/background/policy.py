"""What a task says of its jobs: where they wait, how often they are tried, and what bounds them."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Iterable
from typing import Literal

from core.background.queue.frames import HIGHEST, LOWEST
from core.background.queue.gates import AtOnce, Limit, Rate
from core.background.queue.keys import DEFAULT, NAME

LONGEST_WINDOW = 86_400.0
LONGEST_TIMEOUT = 7 * 86_400.0
Kind = Literal["greenlet", "process"]
"""Where jobs run: in the worker, which suits those that wait, or in processes of their own, for those that compute."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """How often a failing function is called again: ``retries`` more times, the first after ``retry_delay`` seconds,
    then twice as long each time. Exceptions of the classes in ``never`` are final at once."""

    retries: int = 3
    retry_delay: float = 1.0
    never: tuple[type[Exception], ...] = ()
    queue: str = DEFAULT
    priority: int = 0
    unique: bool | tuple[str, ...] = False
    window: float | None = None
    timeout: float = 900.0
    backoff: Callable[[int], float] | None = None
    limits: tuple[Limit, ...] = ()
    outage: tuple[type[Exception], ...] = ()
    kind: Kind = "greenlet"
    followed: bool = False

    def delay(self, attempt: int) -> float:
        """Seconds until the next attempt after this many have failed, before jitter and cap."""
        if self.backoff is not None:
            return max(0.0, float(self.backoff(attempt)))
        return self.retry_delay * 2.0 ** (attempt - 1)

    @property
    def by(self) -> tuple[str, ...] | None:
        """The arguments by which jobs are twins: ``None`` for never, none of them named for all."""
        if self.unique is False:
            return None
        return () if self.unique is True else self.unique

    def faults(self) -> list[str]:
        """What is wrong with it, in words that follow the task's name."""
        faults = []
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            faults.append(f"has retries={self.retries!r}; say how many more times, such as retries=3, or 0 for none")
        if not _is_seconds(self.retry_delay) or self.retry_delay < 0:
            faults.append(f"has retry_delay={self.retry_delay!r}; say a number of seconds, such as retry_delay=1")
        for word, classes in (("never", self.never), ("outage", self.outage)):
            for one in classes if isinstance(classes, tuple) else (classes,):
                if not isinstance(one, type) or not issubclass(one, Exception):
                    faults.append(f"has {one!r} in {word}=; name classes of exceptions, such as {word}=(ValueError,)")
        if not isinstance(self.queue, str) or not NAME.fullmatch(self.queue):
            faults.append(f"has queue={self.queue!r}; name one in small letters, digits and -, such as queue='mail'")
        if isinstance(self.priority, bool) or not isinstance(self.priority, int) or abs(self.priority) > HIGHEST:
            faults.append(f"has priority={self.priority!r}; say a whole number from {LOWEST} to {HIGHEST}, 0 for most")
        if not isinstance(self.unique, bool | tuple) or not all(isinstance(each, str) for each in self.by or ()):
            faults.append(f"has unique={self.unique!r}; say True, or the names of arguments, such as ('user_id',)")
        if self.backoff is not None and not callable(self.backoff):
            faults.append(f"has backoff={self.backoff!r}; give a function of the attempts so far that answers seconds")
        if not _is_seconds(self.timeout) or not 0 < self.timeout <= LONGEST_TIMEOUT:
            faults.append(
                f"has timeout={self.timeout!r}; say the seconds after which it is stopped, such as 60; at most a week"
            )
        window = 1 if self.window is None else self.window
        if not _is_seconds(window) or not 0 < window <= LONGEST_WINDOW or (self.window and not self.unique):
            faults.append(f"has window={self.window!r}; say seconds, at most a day, and beside unique=")
        if not isinstance(self.followed, bool):
            faults.append(f"has followed={self.followed!r}; say True to keep its jobs' stories")
        for limit in self.limits if isinstance(self.limits, tuple) else (self.limits,):
            known = isinstance(limit, AtOnce | Rate)
            faults += limit.faults() if known else [f"has {limit!r} in limits=; write limits=(AtOnce(1),)"]
        if self.kind not in typing.get_args(Kind):
            faults.append(f"has kind={self.kind!r}; say 'greenlet', or 'process' for what computes")
        elif self.kind == "process" and self.queue == DEFAULT:
            faults.append("is of the kind process, and the queue default is for greenlets; name one, as queue='images'")
        return faults

    def strange(self, arguments: Iterable[str]) -> list[str]:
        """What it says of arguments that the function, which takes ``arguments``, does not take."""
        taken, faults = set(arguments), []
        if unknown := sorted(set(self.by or ()) - taken):
            faults.append(f"is unique by {', '.join(unknown)}, which it does not take")
        limits = () if self.faults() else self.limits
        if unknown := sorted({name for limit in limits for name in limit.by} - taken):
            faults.append(f"is limited by {', '.join(unknown)}, which it does not take")
        return faults


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
