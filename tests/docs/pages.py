"""A documentation page as what it tells its reader to do: files to write, and commands to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tour import Step, tour


class File(NamedTuple):
    """A block that begins with the name of its file."""

    path: str
    text: str


def blocks(page: str) -> Iterator[File | list[Step]]:
    """The page's blocks in their order. One that is neither a file nor commands has no place on a tested page."""
    for kind, text in re.findall(r"^```(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if kind == "console":
            yield tour(f"```console\n{text}```")
            continue
        named = re.match(r"# (\S+\.\w+)\n", text)
        assert kind in ("python", "toml") and named, f"what is to be done with this block?\n{text}"
        yield File(named[1], text)


def files(page: str) -> dict[str, str]:
    """Each file of a page, its blocks one below the other."""
    found: dict[str, str] = {}
    for block in blocks(page):
        assert isinstance(block, File), "this page has examples, and nothing to type"
        found[block.path] = found.get(block.path, "") + block.text
    return found
