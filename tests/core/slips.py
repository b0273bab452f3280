"""Many throwaway plugins with one mistake each, on one board: it tells of all of them in one start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forked_boots import apart, faults
from throwaway import install

# A development board needs addresses, and none of them is asked before it starts.
NOWHERE = {
    "APP_ENV": "development",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "MONGODB_URI": "mongodb://127.0.0.1:1/none",
}


def told(
    folder: Path, slips: Mapping[str, Mapping[str, str]], call: Any = faults, **given: Any
) -> dict[str, list[str]]:
    """What the board says of each plugin, by name; what names none of them is under the empty text.

    ``slips`` has the parts of each plugin; ``environ`` may be given besides what ``call`` takes.
    """
    for name, parts in slips.items():
        install(folder, name, **parts)
    environ = {**NOWHERE, "PLUGINS": ",".join(["auth", *slips]), **given.pop("environ", {})}
    said: dict[str, list[str]] = {}
    for line in apart(call, folder, environ=environ, **given):
        head, _, rest = line.partition(": ")
        name = head.removeprefix("plugin ") if head.startswith("plugin ") else ""
        said.setdefault(name, []).append((rest if name else line).replace(f"{folder}/", ""))
    return said


def checked() -> list[str]:
    """What ``flask plugins check`` finds; to be called in a process apart."""
    from core.ops.plugin_checks import check

    return check()[1]
