"""Hands that wait: roused one by one, and none is forgotten."""

from __future__ import annotations

import threading

import pytest
from redis_cable import until

from core.background.queue.resting import Resting

HANDS = 3


class Bedroom:
    """Hands that rest once each, and then get up when they are let."""

    def __init__(self) -> None:
        self.resting = Resting()
        self.up = 0
        for _ in range(HANDS):
            threading.Thread(target=self._rest, daemon=True).start()
        until(lambda: len(self.resting._resting) == HANDS)

    def _rest(self) -> None:
        assert self.resting.rest(30, unless=lambda: False)
        self.up += 1


def test_one_is_roused_at_a_time_and_none_while_another_gets_up() -> None:
    room = Bedroom()
    room.resting.rouse()
    until(lambda: room.up == 1)
    room.resting._roused = True  # as before it has got up
    room.resting.rouse()
    assert len(room.resting._resting) == HANDS - 1
    room.resting.rouse_all()
    until(lambda: room.up == HANDS)
    assert not room.resting._roused


def test_with_nobody_there_nothing_is_kept_of_it() -> None:
    resting = Resting()
    resting.rouse()
    resting.rouse_all()
    assert not resting.rest(0.01, unless=lambda: False)
    assert not resting._resting


def test_who_has_something_to_do_does_not_rest() -> None:
    resting = Resting()
    assert resting.rest(30, unless=lambda: True)
    assert not resting._resting


def test_who_is_ended_while_it_rests_is_not_waited_for() -> None:
    resting = Resting()

    def ends() -> bool:
        resting.rouse()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resting.rest(30, unless=ends)
    assert not resting._resting and not resting._roused
