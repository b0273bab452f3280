"""The board's own plugins where it runs from its folder and was never installed.

Buildpacks and the Dockerfile install the requirements and start the board where its files lie. Without an
installation there is no list of entry points, so the one in ``pyproject.toml`` is read.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def points(group: str) -> list[EntryPoint]:
    """The entry points that installing this folder would declare; none where that has been done."""
    try:
        distribution("pegboard")
        return []
    except PackageNotFoundError:
        pass
    try:
        project = tomllib.loads(PYPROJECT.read_text())["project"]
    except (OSError, KeyError):
        return []
    return [EntryPoint(name, value, group) for name, value in project["entry-points"].get(group, {}).items()]
