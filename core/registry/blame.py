"""What went wrong in a plugin's own code, in one line: the error, the file and line of its author's, and the cure."""

from __future__ import annotations

import os
import traceback
from importlib.util import find_spec
from pathlib import Path


def describe(exc: BaseException, package: str) -> str:
    """A failed import of a plugin's module, or a failed call into it."""
    if isinstance(exc, ValueError) and str(exc).endswith("null bytes"):
        exc = SyntaxError(str(exc))  # as Python says it from 3.12 on
    if isinstance(exc, SyntaxError):
        return f"SyntaxError: {exc.msg} {_unreadable(exc, package)}; correct the file"
    if isinstance(exc, ModuleNotFoundError):
        return f"no module named {exc.name!r}; install it, or correct the import"
    if isinstance(exc, SystemExit):
        return f"it ends the process {place(exc, package)}; raise an exception, or move that into a function"
    return f"{type(exc).__name__}: {_in_one_line(exc)} {place(exc, package)}; correct it there"


def place(exc: BaseException, package: str) -> str:
    """Where it was raised, or the last line of the plugin's own on the way there."""
    frames = traceback.extract_tb(exc.__traceback__)
    folder = os.path.join("", *package.split("."), "")
    own = [frame for frame in frames if f"{os.sep}{folder}" in frame.filename]
    last = (own or frames)[-1]
    return f"({last.filename}, line {last.lineno})"


def located(fault: str, where: str) -> str:
    """A fault with its place, which stands before the cure."""
    told, semicolon, cure = fault.rpartition("; ")
    return f"{told} {where}; {cure}" if semicolon else f"{fault} {where}"


def _in_one_line(exc: BaseException) -> str:
    """Without the address that SQLAlchemy adds on a line of its own."""
    return " ".join(line.strip() for line in str(exc).splitlines() if not line.startswith("(Background on this error"))


def _unreadable(exc: SyntaxError, package: str) -> str:
    """The file and line. Python names none for a source with null bytes: such a file is looked for."""
    if exc.filename is None:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).rglob("*.py")):
                before, null, _ = path.read_bytes().partition(b"\0")
                if null:
                    return f"({path}, line {before.count(10) + 1})"
    return f"({exc.filename or package}, line {exc.lineno or 1})"
