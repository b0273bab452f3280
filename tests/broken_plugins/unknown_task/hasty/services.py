"""One name that no task has, and arguments that the other does not take."""

from core.background import enqueue


def hurry() -> None:
    enqueue("hasty.hury", speed=1)
    enqueue("hasty.hurry", pace=1)
