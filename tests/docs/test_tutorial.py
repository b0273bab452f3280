"""docs/plugins/tutorial.md, followed to the letter: each block into the file that it names, each command typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fresh_env import OFFLINE, ROOT, FreshEnv, board_wheel, lent
from pages import File, blocks
from tour import Shell, Step, fits, shell

from core.ops.testbed import TestServers

TUTORIAL = ROOT / "docs" / "plugins" / "tutorial.md"
LAST = "… 7 passed …"


@pytest.mark.timeout(300)  # several processes, one after the other, on a machine that may be busy
def test_the_tutorial_ends_in_green_tests(
    tmp_path: Path, servers: TestServers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wheel = board_wheel(tmp_path_factory)
    project = tmp_path / "pegboard-recipes"
    printed = ""
    with shell({**FreshEnv.environ_apart(), **lent(servers, 14)}, tmp_path) as sh:
        for block in blocks(TUTORIAL.read_text()):
            if isinstance(block, File):
                path = project / block.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)
                continue
            for step in block:
                printed = typed(sh, step, project, wheel)
                assert fits(printed, step.expected), f"$ {step.command}\n{printed}\nThe page says\n{step.expected}"
    assert fits(printed, LAST)


def typed(sh: Shell, step: Step, project: Path, wheel: Path) -> str:
    """What a command prints. Nothing is fetched: libraries are borrowed, and the board is the wheel of this tree."""
    command = step.command
    if command == "python3 -m venv .venv":
        FreshEnv(project / ".venv")
        return ""
    if command.startswith("python -m pip install"):
        command = " ".join([re.sub(r'"pegboard\[test\] @ .*"', f"'{wheel}'", command), *OFFLINE])
    status, printed = sh.type(command)
    assert status == 0, f"$ {command}\n{printed}"
    return printed


@pytest.mark.unit
def test_every_block_has_its_place() -> None:
    found = list(blocks(TUTORIAL.read_text()))
    assert sum(isinstance(block, File) for block in found) > 10
    assert "pegboard[test] @ git+" in TUTORIAL.read_text(), "what the script puts the wheel in place of"
