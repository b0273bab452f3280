"""Schedules as plugins declare them in ``duties.py``:

    tidy = Schedule("shop.tidy", cron="0 2 * * *", timezone="Europe/Berlin")

It is called ``<plugin>.<constant>``. What code says stands in the table once a scheduler has started; operators may
change it there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Literal, get_args

import msgspec
from flask import Flask

from core.background.schedules.rhythm import Rhythm
from core.errors import BootError

Misfire = Literal["once", "skip", "all"]
MISFIRES = get_args(Misfire)
TICK = "$tick"
MAX_ARGUMENTS = 16 * 1024


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A task that recurs: by ``cron`` in ``timezone`` or ``every`` so many seconds, counted from the epoch.

    A tick that no scheduler was there for within a minute is missed. ``misfire`` says what follows when there is one
    again: ``once``, the last of those that were missed runs; ``skip``, none; ``all``, each of them, at most 100. In
    ``arguments`` the value ``"$tick"`` stands for the time of the tick. The job is the board's own, of no tenant.
    """

    task: str
    cron: str | None = None
    _: dataclasses.KW_ONLY
    every: int | None = None
    timezone: str = "UTC"
    misfire: Misfire = "once"
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    enabled: bool = True

    @property
    def rhythm(self) -> Rhythm:
        return Rhythm(self.cron, self.every, self.timezone)

    def facts(self) -> dict[str, Any]:
        """It in what JSON has, by the names of the table's columns."""
        return {
            "task": self.task,
            "cron": self.cron,
            "every_seconds": self.every,
            "timezone": self.timezone,
            "misfire": self.misfire,
            "arguments": msgspec.to_builtins(self.arguments, str_keys=True),
            "enabled": self.enabled,
        }

    def faults(self) -> list[str]:
        """What is wrong with it, in words that follow its name."""
        faults = [f"has {field}={getattr(self, field)!r}: {why}" for field, why in self.rhythm.faults()]
        if not isinstance(self.task, str) or "." not in self.task:
            faults.append(f"names the task {self.task!r}; write <plugin>.<function>")
        if self.misfire not in MISFIRES:
            faults.append(f"has misfire={self.misfire!r}; say {' or '.join(map(repr, MISFIRES))}")
        if why := arguments_fault(self.arguments):
            faults.append(f"has arguments={self.arguments!r}: {why}")
        return faults


def arguments_fault(arguments: Any) -> str | None:
    """Why a schedule cannot keep these arguments."""
    if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
        return "expected names with their values"
    try:
        size = len(msgspec.json.encode(msgspec.to_builtins(arguments, str_keys=True)))
    except (TypeError, ValueError) as exc:
        return f"JSON cannot carry them ({exc})"
    return f"they take {size} bytes, and at most {MAX_ARGUMENTS} are kept" if size > MAX_ARGUMENTS else None


class Book:
    """The schedules that this process's plugins declare; whether it has brought the table up to date with them."""

    def __init__(self) -> None:
        self.declared: dict[str, Schedule] = {}
        self.reconciled = False

    @classmethod
    def of(cls, app: Flask) -> Book:
        found: Book = app.extensions["pegboard.schedules"]
        return found


def add_module(app: Flask, plugin_name: str, module: ModuleType) -> None:
    """Take in a plugin's ``duties.py``. Raises ``BootError`` with what is wrong with its schedules."""
    faults: list[str] = []
    for name, found in vars(module).items():
        if isinstance(found, Schedule):
            where = f"plugin {plugin_name}: {module.__name__}:{name}, a schedule,"
            faults += (f"{where} {fault}" for fault in found.faults())
            Book.of(app).declared[f"{plugin_name}.{name}"] = found
    if faults:
        raise BootError(*faults)


def call_faults(app: Flask) -> Iterator[str]:
    """Schedules of tasks that are not there, or do not take these arguments; in a process that has all tasks."""
    from core.background.schedules.tasks import local_fault

    for name, schedule in Book.of(app).declared.items():
        if fault := local_fault(app, schedule.task, schedule.arguments):
            yield f"plugin {name.partition('.')[0]}: the schedule {name}: {fault}; correct the name or the arguments"
