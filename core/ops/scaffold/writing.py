"""What ``flask plugins new`` writes: files from ``templates/`` and, in the board's own tree, lines in two of its files.

Everything is made in memory first, so that nothing is written where something would be in the way.
"""

from __future__ import annotations

import dataclasses
import keyword
import re
import tomllib
from pathlib import Path
from string import Template

from core import API
from core.registry.discovery import GROUP, installed
from core.registry.manifest import NAME, RESERVED
from core.trust.permissions import BOARD_PERMISSIONS

TEMPLATES = Path(__file__).parent / "templates"
TREE = Path(__file__).resolve().parents[3]
SUFFIX = ".txt"  # so that neither linters nor Python take a template for code


class CannotWrite(Exception):
    """Why there will be no such plugin; nothing has been written."""


@dataclasses.dataclass
class Plan:
    """New files by path, and the new text of files that are there."""

    files: dict[Path, str] = dataclasses.field(default_factory=dict)
    edits: dict[Path, str] = dataclasses.field(default_factory=dict)

    def write(self) -> None:
        for path, text in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        for path, text in self.edits.items():
            path.write_text(text, encoding="utf-8")


def check_name(name: str) -> None:
    """``CannotWrite`` for a name that no plugin may have, or that one has already."""
    words = {permission.partition(":")[0] for permission in BOARD_PERMISSIONS}
    if not NAME.match(name):
        raise CannotWrite(
            f"{name!r} is no name for a plugin: two to twenty lower-case letters and digits, letter first"
        )
    if keyword.iskeyword(name):
        raise CannotWrite(f"{name!r} is a word of Python's, so no module can be called that; choose another")
    if name in RESERVED or name in words:
        raise CannotWrite(f"{name!r} is a name that the board keeps for itself; choose another")
    for point in installed():
        if point.name == name:
            raise CannotWrite(f"{name!r} is taken: {point.value} is installed; choose another")


def in_tree(name: str, tree: Path = TREE) -> Plan:
    """A built-in plugin: ``plugins/<name>``, its tests, its entry point, its names in ``docs/names.md``."""
    project = tree / "pyproject.toml"
    if not project.is_file() or tomllib.loads(project.read_text())["project"]["name"] != "pegboard":
        raise CannotWrite("this board is installed, not a source tree: use --distribution")
    words = _words(name, f"plugins.{name}")
    plan = Plan(_files("plugin", tree / "plugins" / name, words))
    plan.files[tree / "tests" / "plugins" / name / f"test_{name}.py"] = _filled("tests/test_plugin.py", words)
    _free(plan, tree / "plugins" / name, tree / "tests" / "plugins" / name)
    plan.edits[project] = _declared(project.read_text(), name)
    names = tree / "docs" / "names.md"
    plan.edits[names] = names.read_text() + _filled("tree/names.md", words)
    return plan


def distribution(name: str, out: Path) -> Plan:
    """A distribution of its own, ``pegboard-<name>`` below ``out``, whose package is ``pegboard_<name>``."""
    package = f"pegboard_{name}"
    folder = out / f"pegboard-{name}"
    words = _words(name, package)
    plan = Plan(_files("plugin", folder / package, words))
    plan.files |= _files("distribution", folder, words)
    plan.files[folder / "tests" / "conftest.py"] = _filled("tests/conftest.py", words)
    plan.files[folder / "tests" / f"test_{name}.py"] = _filled("tests/test_plugin.py", words)
    return _free(plan, folder)


def _words(name: str, package: str) -> dict[str, str]:
    return {"name": name, "package": package, "Title": name.capitalize(), "api": str(API)}


def _files(kind: str, folder: Path, words: dict[str, str]) -> dict[Path, str]:
    found = {}
    for template in sorted((TEMPLATES / kind).rglob(f"*{SUFFIX}")):
        relative = template.relative_to(TEMPLATES).as_posix().removesuffix(SUFFIX)
        found[folder / relative.removeprefix(f"{kind}/")] = _filled(relative, words)
    return found


def _filled(relative: str, words: dict[str, str]) -> str:
    return Template((TEMPLATES / f"{relative}{SUFFIX}").read_text("utf-8")).substitute(words)


def _free(plan: Plan, *folders: Path) -> Plan:
    there = [path for path in (*folders, *plan.files) if path.exists()]
    if there:
        raise CannotWrite(f"{there[0]} is there already, and nothing is overwritten; move it, or choose another name")
    return plan


def _declared(project: str, name: str) -> str:
    """The board's ``pyproject.toml`` with one more entry point, and one more plugin for import-linter to hold."""
    if name in tomllib.loads(project)["project"]["entry-points"].get(GROUP, ()):
        raise CannotWrite(f"pyproject.toml declares a plugin {name!r} already; take it out, or choose another name")
    head = f'[project.entry-points."{GROUP}"]\n'
    before, _, after = project.partition(head)
    lines, separator, rest = after.partition("\n\n")
    points = sorted([*lines.splitlines(), f'{name} = "plugins.{name}:plugin"'])
    made = before + head + "\n".join(points) + separator + rest

    def contained(match: re.Match[str]) -> str:
        plugins = sorted({*re.findall(r'"([^"]+)"', match[1]), f"plugins.{name}"})
        return f"containers = [{', '.join(map(_quoted, plugins))}]"

    made = re.sub(r"^containers = \[([^\]]*)\]", contained, made, flags=re.MULTILINE)
    found = tomllib.loads(made)
    points_now = found["project"]["entry-points"][GROUP]
    if points_now.get(name) != f"plugins.{name}:plugin":
        raise CannotWrite(
            f'no place was found in pyproject.toml; add {name} = "plugins.{name}:plugin" to {head.strip()}'
        )
    return made


def _quoted(text: str) -> str:
    return f'"{text}"'
