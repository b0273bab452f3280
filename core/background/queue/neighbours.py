"""Processes by name, so that others on the same machine know at once when one has ended, and need not wait for its
leases to lapse.

A name tells the machine's boot, the process namespace, the process and when it began: only who shares the first two can
say anything of the others, and a number that was given anew is no longer the same process.
"""

from __future__ import annotations

import os
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")


def me() -> str:
    """The name of this process, with some chance in it where the system tells nothing."""
    return f"{_here()}.{os.getpid()}.{_began(os.getpid()) or 0}.{os.urandom(4).hex()}"


def is_gone(process: str) -> bool:
    """Whether it certainly has ended; of processes elsewhere nobody here knows."""
    here, _, rest = process.partition(".")
    pid, _, began = rest.rpartition(".")[0].partition(".")
    if here != _here() or here == "-" or not pid.isdecimal():
        return False
    found = _began(int(pid))
    return found != began and not (found is None and _is_hidden(int(pid)))


def _is_hidden(pid: int) -> bool:
    """Whether it is another user's, of whom nobody is told here (``hidepid``, proc(5))."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def _here() -> str:
    try:
        return f"{BOOT.read_text().strip().replace('-', '')[:12]}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return "-"


def _began(pid: int) -> str | None:
    """In ticks since the boot; ``None`` for one that is not there, or has ended and waits to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
