"""`flask plugins new`: both kinds are written, linted, typed, migrated and run, and nothing is ever overwritten."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.ops.scaffold import new, writing
from core.registry.discovery import GROUP

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("core", "plugins", "migrations", "templates", "docs", "benchmarks")
OF_WHAT_IS_INSTALLED = ("core/test_faults_at_once.py", "test_plugins_command.py")  # one more must not trouble them
LONG = "aplugincalledatlength"[:20]  # the longest name there may be: its lines must not grow too long

DRIFT = """from flask import Flask
from core.data.migrations import Migrations
from core.data.migrations.drift import faults
def test_models_and_migrations_agree(ctx: Flask) -> None:
    assert faults(Migrations.of(ctx)) == []
"""


def run(folder: Path, *words: str, path: Sequence[Path] = (), fails: bool = False) -> str:
    """A Python command in a folder; its output, once it has ended well (or, where it ``fails``, badly)."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (folder, *path)))}
    environ["MYPYPATH"] = environ["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True, timeout=110, check=False
    )
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of this tree, with a plugin in it, and a distribution with another below ``apart/``; both installed."""
    folder = tmp_path
    hidden = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=hidden)
    for name in ("pyproject.toml", ".env.example", "README.md", "LICENSE", "wsgi.py", "gunicorn.conf.py"):
        shutil.copy(ROOT / name, folder)
    (folder / "tests" / "core").mkdir(parents=True)
    for name in ("conftest.py", "test_architecture.py", *OF_WHAT_IS_INSTALLED):
        shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    for name in ("sample", "broken_plugins/bad_settings"):
        shutil.copytree(ROOT / "tests" / name, folder / "tests" / name, ignore=hidden)
    (folder / "tests" / "test_drift.py").write_text(DRIFT)
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    run(folder, "-m", "core.ops.scaffold", "zoo")
    run(folder, "-m", "core.ops.scaffold", LONG, "--out", "apart")
    for project in (folder, folder / "apart" / f"pegboard-{LONG}"):
        installed(project)
    return folder


def installed(project: Path) -> None:
    """What `pip install -e` would leave of a project, beside it: whoever has the folder on the path has its plugins."""
    facts = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    info = project / f"{facts['name'].replace('-', '_')}-{facts['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {facts['name']}\nVersion: {facts['version']}\n")
    points = "".join(f"{name} = {value}\n" for name, value in facts["entry-points"][GROUP].items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}")


def test_both_kinds_pass_the_checks_and_their_own_tests(tree: Path) -> None:
    apart = tree / "apart" / f"pegboard-{LONG}"
    for folder, *files in ((tree, "plugins/zoo", "tests/plugins/zoo"), (apart, ".")):
        run(folder, "-m", "ruff", "check", "--no-cache", *files)
        run(folder, "-m", "ruff", "format", "--check", "--no-cache", *files)
    # In one run, beside the board's own sources, so that what the plugin takes from them is held to their types.
    packages = [word for name in ("core", "plugins", f"pegboard_{LONG}") for word in ("-p", name)]
    run(tree, "-m", "mypy", *packages, path=[apart])
    run(tree, "-c", "import sys; from importlinter.cli import lint_imports_command as check; sys.exit(check())")
    tests = ("tests", str(apart / "tests"))
    said = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests, path=[apart])
    assert "failed" not in said and "skipped" not in said
    said = run(tree, "-m", "core.ops.scaffold", "zoo", fails=True)
    assert "'zoo' is taken: plugins.zoo:plugin is installed" in said


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    said = CliRunner().invoke(new, ["zoo", "--out", str(tmp_path), "--dry-run"])
    assert said.exit_code == 0
    assert "would be written  pegboard-zoo/pegboard_zoo/models.py\n" in said.output
    assert "would be written  pegboard-zoo/tests/test_zoo.py\n" in said.output
    assert list(tmp_path.iterdir()) == []
    said = CliRunner().invoke(new, ["zoo", "--dry-run"])
    assert "would be changed  pyproject.toml\n" in said.output
    assert not (ROOT / "plugins" / "zoo").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("z", "is no name for a plugin: two to twenty lower-case letters and digits, letter first"),
        ("Zoo", "is no name for a plugin"),
        ("zoo_keeper", "is no name for a plugin"),
        ("../zoo", "is no name for a plugin"),
        ("import", "is a word of Python's"),
        ("core", "is a name that the board keeps for itself; choose another"),
        ("content", "is a name that the board keeps for itself"),
        ("auth", "is taken: plugins.auth:plugin is installed; choose another"),
        ("shelf", "is taken: shelf:plugin is installed"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--distribution",)])
def test_names_that_it_refuses(name: str, why: str, more: tuple[str, ...]) -> None:
    said = CliRunner().invoke(new, [name, "--dry-run", *more])
    assert said.exit_code == 1
    assert f"{name!r} {why}" in said.output


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "pegboard-zoo" / "README.md"
    mine.parent.mkdir()
    mine.write_text("mine")
    said = CliRunner().invoke(new, ["zoo", "--out", str(tmp_path)])
    assert said.exit_code == 1 and "pegboard-zoo is there already, and nothing is overwritten" in said.output
    assert mine.read_text() == "mine" and list(mine.parent.iterdir()) == [mine]


def test_typed_twice_it_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("pyproject.toml", "docs/names.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    writing.in_tree("zoo", tmp_path).write()
    with pytest.raises(writing.CannotWrite, match="plugins/zoo is there already, and nothing is overwritten"):
        writing.in_tree("zoo", tmp_path)
    for folder in ("plugins", "tests"):
        shutil.rmtree(tmp_path / folder)
    with pytest.raises(writing.CannotWrite, match=r"pyproject\.toml declares a plugin 'zoo' already; take it out"):
        writing.in_tree("zoo", tmp_path)


def test_only_a_source_tree_takes_a_plugin_in(tmp_path: Path) -> None:
    with pytest.raises(writing.CannotWrite, match="this board is installed, not a source tree: use --distribution"):
        writing.in_tree("zoo", tmp_path)
