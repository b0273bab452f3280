"""The board's own checks, so that an author hears of a fault before an operator does."""

from __future__ import annotations

from typing import Any

from core.ops import db, plugins


def test_every_part_of_the_plugin_keeps_the_rules(board: Any) -> None:
    checked = board.test_cli_runner().invoke(plugins.group, ["check"])
    assert checked.exit_code == 0, checked.output


def test_models_and_migrations_agree(board: Any) -> None:
    checked = board.test_cli_runner().invoke(db.group, ["check"])
    assert checked.exit_code == 0, checked.output
