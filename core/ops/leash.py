"""Nothing outlives its runner: who runs a folder, what runs for it, and a small process that tidies up after a SIGKILL.

A runner (``make run``, a test session) *holds* its folder: a POSIX lock, which the kernel takes back however the
runner ends. What it starts is registered there, one file each. A helper process, the leash, waits for the same lock;
once it gets it, the runner is gone, and it ends whatever is still registered. If the leash was killed too, the next
holder does the same before anything else.

The file is also run as a script (not ``-m``, so that it works from any folder), hence it imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import psutil

# The processes of the Procfile go before the servers that they use.
_ORDER = {"mongo": 2, "valkey": 3, "postgres": 4}
_GENTLE = {"postgres": signal.SIGINT}  # "fast": roll back and leave; its SIGTERM would wait for every client

PATIENCE = 25.0
"""Seconds from SIGTERM to SIGKILL: a worker finishes, or puts back, in less what it runs."""

_held: set[Path] = set()


class Busy(Exception):
    """Another living process holds the folder; ``pid`` is its number, as far as it has said."""

    def __init__(self, folder: Path, pid: int) -> None:
        super().__init__(f"{folder} is in use by process {pid}")
        self.pid = pid


class Hold:
    """This process runs ``folder`` until ``release()`` or its death. Raises ``Busy`` after ``patience`` seconds."""

    def __init__(self, folder: Path, patience: float = 40.0) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.folder in _held:  # opening the file again would lose the lock: POSIX locks belong to the process
            raise Busy(self.folder, os.getpid())
        self._lock = _lock(self.folder, patience)
        _held.add(self.folder)
        self.swept = sweep(self.folder)
        self._leash = subprocess.Popen(
            [sys.executable, "-P", __file__, "wait", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Give the folder up; what is still registered is ended first. A second call does nothing."""
        if self.folder not in _held:
            return
        sweep(self.folder)
        self._leash.kill()
        self._leash.wait()
        self._lock.close()
        _held.discard(self.folder)


def _lock(folder: Path, patience: float | None) -> IO[str]:
    """Open and lock the folder's lock file; ``None`` waits for ever."""
    lock = open(folder / "lock", "a+")  # noqa: SIM115 - it stays open for as long as we hold the folder
    deadline = time.monotonic() + (patience or 0)
    while True:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | (0 if patience is None else fcntl.LOCK_NB))
            break
        except OSError:
            lock.seek(0)
            word, _, pid = lock.read().partition(" ")
            # A leash that is tidying up lets go by itself; another runner does not.
            other = int(pid or 0)
            if (word == "held" and psutil.pid_exists(other)) or time.monotonic() > deadline:
                lock.close()
                raise Busy(folder, other) from None
            time.sleep(0.1)
    lock.truncate(0)
    lock.write(f"{'tidying' if patience is None else 'held'} {os.getpid()}")
    lock.flush()
    return lock


def runner(folder: Path) -> int:
    """The process that runs ``folder``, or 0. Not for that process itself: looking would lose it the lock."""
    with contextlib.suppress(OSError, ValueError), open(folder / "lock") as lock:
        word, pid = lock.read().split()
        try:
            os.lockf(lock.fileno(), os.F_TEST, 0)
        except OSError:
            return int(pid) if word == "held" else 0
    return 0


def register(folder: Path, name: str, pid: int) -> None:
    """Write down that ``pid`` runs for ``folder``, in a way that survives neither its number's reuse nor a copy."""
    path = folder / f"{name}.pid"
    with contextlib.suppress(psutil.NoSuchProcess):
        path.write_text(f"{pid}\n{psutil.Process(pid).create_time()}\n{folder.resolve()}\n")


def registered(folder: Path, name: str) -> psutil.Process | None:
    """The process that was registered under ``name``, if that very process still runs."""
    try:
        pid, born, where = (folder / f"{name}.pid").read_text().splitlines()
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(born)) < 2 and where == str(folder.resolve())
        return process if same and not gone(process) else None
    except (OSError, ValueError, psutil.Error):
        return None


def forget(folder: Path, name: str) -> None:
    (folder / f"{name}.pid").unlink(missing_ok=True)


def end(process: psutil.Process, first: signal.Signals = signal.SIGTERM, patience: float = PATIENCE) -> None:
    """Ask a process to stop, and kill it and its descendants if they have not within ``patience`` seconds."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        process.send_signal(first)
        if not _wait(family, patience):
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            _wait(family, 5)


def _wait(family: list[psutil.Process], patience: float) -> bool:
    """True once all are gone. A zombie counts as gone: in many containers nobody reaps those that lost their parent."""
    deadline = time.monotonic() + patience
    while not all(map(gone, family)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def sweep(folder: Path) -> list[str]:
    """End everything that is registered for ``folder``; the names of what still ran."""
    ended = []
    for name in sorted((path.stem for path in folder.glob("*.pid")), key=lambda name: (_ORDER.get(name, 1), name)):
        process = registered(folder, name)
        if process:
            end(process, _GENTLE.get(name, signal.SIGTERM))
            ended.append(name)
        forget(folder, name)
    return ended


def main(argv: list[str]) -> None:
    """``wait FOLDER``: be the leash."""
    match argv:
        case ["wait", folder]:
            with _lock(Path(folder), None):
                sweep(Path(folder))
        case _:
            sys.exit(f"usage: {__file__} wait FOLDER")


if __name__ == "__main__":
    main(sys.argv[1:])
