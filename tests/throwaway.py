"""A plugin for one test: written to a folder, and installed for processes that are given its environment."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def install(folder: Path, name: str, **parts: str) -> dict[str, str]:
    """Write the plugin ``name`` with its parts (``tasks="…"``, indented as one likes); answers the environment."""
    package, metadata = folder / name, folder / f"{name}-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    manifest = f'from core.registry import Plugin\nplugin = Plugin(name="{name}", package=__name__)\n'
    (package / "__init__.py").write_text(manifest)
    for part, source in parts.items():
        (package / f"{part}.py").write_text(textwrap.dedent(source))
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[pegboard.plugins]\n{name} = {name}:plugin\n")
    return {"PYTHONPATH": os.pathsep.join((str(folder), os.environ["PYTHONPATH"]))}


HASTE = """\
    from datetime import timedelta
    from core.background import duties
    from core.data import outbox

    outbox.SETTLED = timedelta(seconds=1)
    duties.FIRST_WITHIN = 0.5
    """
"""A part with which a process waits 1 s, not 10, before it sweeps what another left, and begins its duties at once."""


def eventually(what: Callable[[], Any], seconds: float = 30) -> Any:
    """What ``what()`` answers once that is true; it must be so in time."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found
