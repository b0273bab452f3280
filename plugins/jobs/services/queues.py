"""The queues: how they stand, pause and resume."""

from __future__ import annotations

from core.background.queue import delivery, figures
from core.background.queue.figures import QueueFigures
from core.background.queue.frames import lane_of
from core.background.queue.keys import NAME
from core.background.queue.parts import By, Part, parts
from core.errors import NOT_FOUND, Refused
from core.trust import audit
from plugins.jobs.services.sight import check_board_wide, whose


def queues() -> list[QueueFigures]:
    check_board_wide()
    return [figures.figures(name) for name in delivery.names()]


def queue(name: str) -> QueueFigures:
    """``Refused``: FORBIDDEN, NOT_FOUND."""
    check_board_wide()
    if name not in delivery.names():
        raise Refused(NOT_FOUND, f"there is no queue {name!r}; there are {', '.join(delivery.names())}")
    return figures.figures(name)


def figures_by(name: str, by: By, hours: int) -> list[Part]:
    """Of each task or tenant; a tenant's own people get its line alone, ``Refused(FORBIDDEN)`` for the tasks of all.

    ``Refused(NOT_FOUND)`` where there is no such queue; whoever may not see the queues is not told which there are.
    """
    tenant = whose()
    if by == "task" or tenant is None:
        queue(name)
    elif not NAME.fullmatch(name):
        raise Refused(NOT_FOUND, f"there is no queue {name!r}")
    return parts(name, by, hours, None if tenant is None else lane_of(tenant))


def set_paused(name: str, paused: bool) -> QueueFigures:
    before = queue(name)
    (figures.pause if paused else figures.resume)(name)
    audit.record(
        f"jobs.queue_{'paused' if paused else 'resumed'}", kind="queue", id=name, before={"paused": before.paused}
    )
    return figures.figures(name)
