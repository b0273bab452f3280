"""A page's console blocks, typed into a shell and held against what the page says that they print."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

BOARD = "http://127.0.0.1:8000"
PATIENCE = 20.0
END = "-- end of this command, status"


class Step(NamedTuple):
    """One command of the tour, and what README says that it prints."""

    command: str
    expected: str


def tour(text: str) -> list[Step]:
    """Every `$ command` of the console blocks, with the lines below it up to the next."""
    steps: list[Step] = []
    for block in re.findall(r"^```(?:console|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, rest = [], part.splitlines()
            while rest and (not command or command[-1].endswith(("\\", "|"))):
                command.append(rest.pop(0))
            steps.append(Step("\n".join(command), "\n".join(rest)))
    return steps


def fits(printed: str, expected: str) -> bool:
    """Whether the output is what README says; `…` stands for anything, and white space is only layout."""
    bare = re.sub(r"\s+", "", expected)
    pattern = ".*?".join(re.escape(part) for part in bare.split("…"))
    return re.fullmatch(pattern, re.sub(r"\s+", "", printed)) is not None


class Shell:
    """One `sh`, so that what a command sets the next one has."""

    def __init__(self, environ: dict[str, str], cwd: Path) -> None:
        self._sh = subprocess.Popen(
            ["/bin/sh"], cwd=cwd, env=environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def type(self, command: str) -> tuple[int, str]:
        """Status and output."""
        assert self._sh.stdin
        assert self._sh.stdout
        self._sh.stdin.write(f"{command}\nprintf '\\n{END} %s\\n' $?\n")
        self._sh.stdin.flush()
        lines = []
        for line in self._sh.stdout:
            if line.startswith(END):
                return int(line.removeprefix(END)), "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended at: {command}\n{''.join(lines)}")

    def close(self) -> None:
        assert self._sh.stdin
        self._sh.stdin.close()
        self._sh.wait(10)
        assert self._sh.stdout
        self._sh.stdout.close()


@contextmanager
def shell(environ: dict[str, str], cwd: Path) -> Iterator[Shell]:
    opened = Shell(environ, cwd)
    try:
        yield opened
    finally:
        opened.close()


def take(sh: Shell, steps: list[Step], url: str) -> None:
    """Type each command, at the board's real address; what only reads is typed again until a worker has caught up."""
    for command, expected in steps:
        typed, wanted = command.replace(BOARD, url), expected.replace(BOARD, url)
        deadline = time.monotonic() + PATIENCE
        while True:
            status, printed = sh.type(typed)
            assert status == 0, f"$ {typed}\n{printed}"
            if fits(printed, wanted):
                break
            reads = typed.startswith("curl -s ") and " -d " not in typed and " -X " not in typed
            assert reads and time.monotonic() < deadline, f"$ {typed}\n{printed}\nREADME says\n{wanted}"
            time.sleep(0.1)
