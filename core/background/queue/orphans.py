"""Processes that must not outlive the one that made them, nor leave behind what they made themselves; and that are the
first to go when memory is short."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the system kill this process once ``parent`` has ended, however that ends; on Linux. Elsewhere whoever
    holds the other end of its socket must see to it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we could say so
        os._exit(1)


def go_first() -> None:
    """Have Linux end this process, and what it starts, before others when no memory is left."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def lead(pid: int) -> None:
    """Make a child the head of a group of its own, of which all are that it starts."""
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)


def kill_group(pid: int) -> None:
    """Kill a child that has not been waited for, or has only just been, and what it has started."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
