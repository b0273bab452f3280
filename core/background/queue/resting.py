"""Hands that wait for a job. They are roused one by one: whoever takes a job rouses the next while there are more.

Roused all at once most would find that another was faster, which costs more than small jobs do. Where jobs wait for
something, each hand begins as soon as the one before it waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event


class Resting:
    """Hands may be greenlets or threads."""

    def __init__(self) -> None:
        self._resting: deque[Event] = deque()
        self._roused = False
        """Somebody has been roused who has not got up yet."""

    def rest(self, seconds: float, unless: Callable[[], bool]) -> bool:
        """Until roused, or for so many seconds; whether it was roused. Not at all if ``unless`` is true by then."""
        call = Event()
        self._resting.append(call)
        try:
            return unless() or call.wait(seconds)
        finally:
            self._get_up(call)

    def _get_up(self, call: Event) -> None:
        try:
            self._resting.remove(call)
        except ValueError:  # it was roused
            self._roused = False

    def rouse(self) -> None:
        """One of those who rest; none while another gets up."""
        if not self._roused:
            self._rouse()

    def rouse_all(self) -> None:
        while self._resting:
            self._rouse()

    def _rouse(self) -> None:
        self._roused = True
        try:
            call = self._resting.pop()  # the last to lie down
        except IndexError:
            self._roused = False
        else:
            call.set()
