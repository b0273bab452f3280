"""Threads of the system's, and what gevent has patched as it was: for what must go on while the loop does not turn."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def original(module: str, name: str) -> Any:
    """``original("time", "sleep")``: what gevent has put something else in place of, or simply what is there."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(importlib.import_module(module), name) if monkey is None else monkey.get_original(module, name)


def start_thread(run: Callable[[], None]) -> None:
    """Run it in a native thread. It shares plain values with the rest and nothing that waits: no lock, no log."""
    original("_thread", "start_new_thread")(run, ())
