"""The queues: how they stand, pause and resume."""

from __future__ import annotations

from core.background.queue import delivery, figures
from core.background.queue.figures import QueueFigures
from core.background.queue.frames import lane_of
from core.background.queue.parts import By, Part, parts
from core.errors import NOT_FOUND, VALIDATION_FAILED, FieldFault, Refused
from core.trust import audit
from plugins.jobs.services.sight import board_wide, check_board_wide, whose


def queues() -> list[QueueFigures]:
    check_board_wide()
    return [figures.figures(name) for name in delivery.names()]


def queue(name: str) -> QueueFigures:
    """``Refused``: FORBIDDEN, NOT_FOUND."""
    check_board_wide()
    if missing := _missing(name):
        raise Refused(NOT_FOUND, missing)
    return figures.figures(name)


def check_known(name: str) -> None:
    """Of a filter: ``Refused(VALIDATION_FAILED)``."""
    if missing := _missing(name):
        raise Refused(VALIDATION_FAILED, missing, fields=(FieldFault("queue", "NOT_A_CHOICE", missing),))


def _missing(name: str) -> str:
    """Whoever may not see the queues is not told which there are."""
    known = delivery.names()
    if name in known:
        return ""
    return f"there is no queue {name!r}" + (f"; there are {', '.join(known)}" if board_wide() else "")


def figures_by(name: str, by: By, hours: int) -> list[Part]:
    """Of each task or tenant; a tenant's own people get its line alone, ``Refused(FORBIDDEN)`` for the tasks of all.

    ``Refused(NOT_FOUND)`` where there is no such queue.
    """
    tenant = whose()
    if by == "task" or tenant is None:
        queue(name)
    elif missing := _missing(name):
        raise Refused(NOT_FOUND, missing)
    return parts(name, by, hours, None if tenant is None else lane_of(tenant))


def set_paused(name: str, paused: bool) -> QueueFigures:
    before = queue(name)
    (figures.pause if paused else figures.resume)(name)
    audit.record(
        f"jobs.queue_{'paused' if paused else 'resumed'}", kind="queue", id=name, before={"paused": before.paused}
    )
    return figures.figures(name)
