"""docs/plugins/hooks.md: every hook has an example there, and every example works.

The page's blocks make up one plugin. It is written to a folder, and its own tests are run on the servers of this run.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from called import functions
from fresh_env import ROOT, FreshEnv, lent
from pages import files

from core import contracts
from core.ops import testing
from core.ops.testbed import TestServers
from core.registry import Plugin

PAGE = ROOT / "docs" / "plugins" / "hooks.md"
WINGS = ("registry", "data", "trust", "web", "background", "live")


def examples() -> dict[str, str]:
    return files(PAGE.read_text())


@pytest.mark.unit
def test_every_hook_has_an_example() -> None:
    used = set()
    for text in examples().values():
        for node in ast.walk(ast.parse(text)):
            used |= {getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "arg", "")}
    hooks = {f"core.{wing}: {name}" for wing in WINGS for name in importlib.import_module(f"core.{wing}").__all__}
    hooks |= {f"manifest: {field.name}" for field in dataclasses.fields(Plugin)}
    hooks |= {f"fixture: {name}" for name, found in vars(testing).items() if _is_fixture(found)}
    hooks |= {f"core.contracts: {name}" for name in ("service", "services", "ResourceType", "Principal")}
    hooks |= {f"core.config: {name}" for name in ("env", "Secret", "settings")}
    hooks |= {f"core.errors: {name}" for name in ("declare", "Refused", "FieldFault")}
    assert sorted(hook for hook in hooks if hook.rpartition(" ")[2] not in used) == []


@pytest.mark.unit
def test_every_contract_is_named() -> None:
    told = PAGE.read_text()
    named = {contract.__name__ for contract in (*contracts.ONE, *contracts.MANY)}
    assert sorted(name for name in named if f"`{name}`" not in told) == []


@pytest.mark.unit
@pytest.mark.parametrize("page", sorted(PAGE.parent.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert targets
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def _is_fixture(found: object) -> bool:
    return type(found).__name__ == "FixtureFunctionDefinition"


@pytest.mark.timeout(300)  # several processes, one after the other, on a machine that may be busy
def test_every_example_works(tmp_path: Path, servers: TestServers) -> None:
    written = examples()
    for name, text in written.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    info = tmp_path / "library-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: library\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pegboard.plugins]\nlibrary = library:plugin\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    environ = {**FreshEnv.environ_apart(), **lent(servers, 15)}
    # The tree before tests/: an editable install is looked up last, and tests/core would pass for the board.
    path = (str(tmp_path), str(Path(__file__).parents[2]), str(Path(__file__).parent), environ["PYTHONPATH"])
    environ["PYTHONPATH"] = os.pathsep.join(path)
    environ["PYTEST_ADDOPTS"] += " -p called"
    environ |= {"CALLED_IN": "library", "CALLED_OUT": str(tmp_path / "called.json")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests"], cwd=tmp_path, env=environ, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b\d\d passed", done.stdout)
    called = set(json.loads((tmp_path / "called.json").read_text()))
    there = {
        name
        for path in (tmp_path / "library").glob("*.py")  # migrations have been run, or there would be no table
        for name in functions(ast.parse(path.read_text()), path.name)
    }
    assert sorted(there - called) == [], "no test of the page reaches these"
