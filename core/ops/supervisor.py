"""The processes of the Procfile: each is started again alone, unless it fails again and again.

honcho's own manager ends all processes when one ends, which suits a platform that starts the whole anew; a person at a
terminal wants the others left alone. What is honcho's here: reading the Procfile, and the coloured, prefixed lines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

import psutil
from honcho.colour import get_colours
from honcho.printer import Message, Printer

from core.ops import leash

OFTEN = 3
"""A process that once was ready may fail so many times in a row, before it is ready or shortly after."""
SHORTLY = 2.0
"""Seconds after it was ready in which an end still counts as a failure to start."""
TAKEN_FOR_READY = 10.0
"""Seconds after which a process that runs counts as ready, where it does not say so (``LOG_LEVEL`` may hide it)."""
AT_ONCE = 2.0
"""Seconds after SIGTERM after which it is told for whom one waits."""
BY_HAND = (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)
LAST_LINES = 12


class CannotStart(Exception):
    """A process ends again and again; the message names it and has the end of its output."""


class Screen:
    """honcho's printer, for several threads."""

    def __init__(self, width: int) -> None:
        self._printer = Printer(sys.stdout, width=width)
        self._lock = threading.Lock()
        self.fault: OSError | None = None

    def show(self, name: str, colour: str, line: bytes | str) -> None:
        with self._lock:
            self._printer.write(Message("line", line, datetime.now().astimezone(), name, colour))


class Part:
    """One process, and what is known of it."""

    def __init__(self, name: str, line: str, colour: str, screen: Screen) -> None:
        self.name = name
        self.line = line
        self.colour = colour
        self.screen = screen
        self.tail: deque[str] = deque(maxlen=LAST_LINES)
        self.popen: subprocess.Popen[bytes] | None = None
        self.since = 0.0
        self.ready_at = 0.0
        self.was_ready = False
        self.failures = 0
        """Ends in a row that came too early and by nobody's hand."""

    def start(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.tail.clear()
        self.ready_at = 0.0
        self.since = time.monotonic()
        # A session of its own: a Ctrl-C in the terminal is for the runner, and what it leaves behind can be found.
        self.popen = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {self.line}"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        leash.register(folder, self.name, self.popen.pid)
        assert self.popen.stdout
        self._reader = threading.Thread(target=self._read, args=(self.popen.stdout,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self.tail.append(line.decode(errors="replace").rstrip())
                if f"{self.name} is ready".encode() in line:
                    self.note_ready()
                try:
                    self.show(line)
                except OSError as exc:  # the terminal is gone: told in look(), as here the process has to be read on
                    self.screen.fault = exc

    def show(self, line: bytes | str) -> None:
        self.screen.show(self.name, self.colour, line)

    def note_ready(self) -> None:
        self.ready_at = self.ready_at or time.monotonic()
        self.was_ready = True

    def clear(self) -> None:
        """It has ended: end what it has left, which may hold its port, and read its output to the end."""
        assert self.popen
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self._reader.join(2)

    def judge(self, status: int) -> str:
        """How it ended, in words. Raises ``CannotStart`` if that was once too often."""
        number = -status if status < 0 else status - 128  # a shell says it the second way
        by_hand = number in BY_HAND
        how = f"was ended by {signal.Signals(number).name}" if by_hand else f"ended with status {status}"
        if self.ready_at and time.monotonic() - self.ready_at > SHORTLY:
            self.failures = 0
        elif not by_hand:
            self.failures += 1
        if self.failures >= (OFTEN if self.was_ready else 1):
            times = f", {self.failures} times in a row" if self.failures > 1 else ""
            last = "".join(f"\n    {line}" for line in self.tail) or " it printed nothing"
            raise CannotStart(f"{self.name} cannot start: it {how}{times}; the end of its output:{last}")
        return how


class Processes:
    """All of them. ``answers`` tells whether web does; the others say in their output that they are ready."""

    def __init__(
        self, folder: Path, lines: Mapping[str, str], environ: Mapping[str, str], answers: Callable[[], bool]
    ) -> None:
        self.folder = folder
        self.environ = environ
        self.answers = answers
        self.screen = Screen(width=max(map(len, lines)))
        coloured = zip(lines.items(), get_colours(), strict=False)
        self.parts = [Part(name, line, colour, self.screen) for (name, line), colour in coloured]

    def start(self) -> None:
        for part in self.parts:
            part.start(self.folder, self.environ)

    def ready(self, name: str) -> bool:
        return any(part.name == name and part.ready_at for part in self.parts)

    def look(self) -> None:
        """Start again what has ended; note what has become ready. Raises ``CannotStart``, or printing's fault."""
        if self.screen.fault:
            raise self.screen.fault
        for part in self.parts:
            assert part.popen
            status = part.popen.poll()
            if status is not None:
                part.clear()
                part.show(f"{part.judge(status)}; starting it again")
                part.start(self.folder, self.environ)
            elif not part.ready_at and (
                time.monotonic() - part.since > TAKEN_FOR_READY or (part.name == "web" and self.answers())
            ):
                part.note_ready()

    def stop(self) -> None:
        """Ask all of them to leave, side by side, and end what has not left in time."""
        running = [part for part in self.parts if part.popen]
        for part in running:
            assert part.popen
            part.popen.terminate()
        began = time.monotonic()
        self._wait(running, began + AT_ONCE)
        for part in running:
            assert part.popen
            if part.popen.poll() is None:
                with contextlib.suppress(OSError):
                    part.show(f"finishes what it is at, for up to {leash.PATIENCE:.0f} s")
        self._wait(running, began + leash.PATIENCE)
        for part in running:
            assert part.popen
            if part.popen.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    leash.end(psutil.Process(part.popen.pid), signal.SIGKILL)
                part.popen.wait()
            part.clear()
            leash.forget(self.folder, part.name)

    @staticmethod
    def _wait(running: list[Part], deadline: float) -> None:
        for part in running:
            assert part.popen
            with contextlib.suppress(subprocess.TimeoutExpired):
                part.popen.wait(max(0.0, deadline - time.monotonic()))
