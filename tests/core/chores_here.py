"""Tasks that a test module declares, as those of a plugin called ``chores``, known to the worker and to its others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from flask import Flask

from core.background.queue import routes


@contextmanager
def chores_of(worker_app: Flask, *functions: Callable[..., Any]) -> Iterator[None]:
    module = ModuleType("chores.tasks")
    for function in functions:
        function.__module__ = module.__name__
        vars(module)[function.__name__] = function
    tasks = worker_app.extensions["pegboard.tasks"]
    before = tasks._tasks.copy()
    tasks.add("chores", module)
    with worker_app.app_context():
        routes.tell(worker_app)
    yield
    tasks._tasks = before
    with worker_app.app_context():
        routes.tell(worker_app)
