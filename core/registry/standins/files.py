"""Files that are there whole or not at all, for the stand-ins that keep things in the instance folder."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.config import settings

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line and paragraph separators, and halves of characters: in no name and no header."""


def folder(*names: str) -> Path:
    """A folder of the instance, absolute, made if need be and closed to other users."""
    path = Path(settings().instance_dir).resolve().joinpath(*names)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def replace(path: Path, data: BinaryIO) -> int:
    """Put what ``data`` holds under ``path``, in one step for whoever reads; answers the number of bytes."""
    with _draft(path, data) as (draft, size):
        draft.replace(path)
    return size


def make_once(path: Path, data: BinaryIO) -> bool:
    """Put ``data`` under ``path`` unless something is there; of several at once, exactly one is told ``True``."""
    with _draft(path, data) as (draft, _):
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return False
    return True


@contextmanager
def _draft(path: Path, data: BinaryIO) -> Iterator[tuple[Path, int]]:
    draft = path.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            shutil.copyfileobj(data, file)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        yield draft, size
    finally:
        draft.unlink(missing_ok=True)
