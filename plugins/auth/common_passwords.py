"""The passwords that everybody tries first: 30,000 of them, ordered by use, out of the package zxcvbn."""

from __future__ import annotations

import importlib.util
import runpy
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

SHORTEST = 8
"""Shorter ones nobody can choose, so they are not kept."""


def is_common(password: str) -> bool:
    """Whether the list has it, in whatever case. The first call reads the list: some 60 ms, so keep it off the loop."""
    return _digest(password.lower()) in _common()


@lru_cache(maxsize=1)
def _common() -> frozenset[bytes]:
    """Digests in place of texts, and the file alone in place of the package: 1 MiB stays, not 9."""
    package = importlib.util.find_spec("zxcvbn")
    if package is None or package.origin is None:
        raise RuntimeError("the package zxcvbn is not installed: pip install -r requirements.txt")
    lists = runpy.run_path(str(Path(package.origin).with_name("frequency_lists.py")))["FREQUENCY_LISTS"]
    return frozenset(_digest(word) for word in lists["passwords"] if len(word) >= SHORTEST)


def _digest(word: str) -> bytes:
    return blake2b(word.encode(), digest_size=8).digest()
