"""What a process has taken ahead: tenants take turns, and all of it can go back in its order."""

from __future__ import annotations

from core.background.queue.frames import Frame, frame, head_of
from core.background.queue.ready import Ready


def some(lane: str, *words: str) -> list[Frame]:
    return [Frame.read(frame(word.encode(), head_of(0, lane))) for word in words]


def words(frames: list[Frame]) -> str:
    return " ".join(each.message.decode() for each in frames)


def test_whoever_has_few_does_not_wait_behind_what_was_taken_of_others() -> None:
    ready = Ready()
    ready.put(some("many", "a", "b", "c", "d"))
    assert words([found for found in [ready.take()] if found]) == "a"
    ready.put(some("few", "x", "y") + some("one", "z"))
    taken = [found for _ in range(7) if (found := ready.take())]
    assert words(taken) == "x z b y c d"
    assert (len(ready), ready.take()) == (0, None)


def test_what_goes_back_is_told_the_last_first_lane_by_lane() -> None:
    ready = Ready()
    ready.put(some("many", "a", "b", "c") + some("few", "x", "y"))
    assert len(ready) == len(list(ready)) == 5
    assert words(ready.empty()) == "c b a y x"
    assert (len(ready), list(ready), ready.take()) == (0, [], None)
