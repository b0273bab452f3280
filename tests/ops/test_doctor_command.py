"""``flask doctor`` as it is typed, and on a board that does not start; and how its words are made."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from ward import STRONG, Ward, note_duties

from core.config import Secret
from core.ops.doctor import secrets
from core.ops.doctor.admission import invalid, is_asked_for
from core.ops.doctor.command import command
from core.ops.doctor.examination import TOPICS
from core.ops.doctor.findings import error, is_near, ok, split
from core.telemetry.metrics import METRICS

ROOT = Path(__file__).resolve().parents[2]


def doctor(ward: Ward, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **ward.environ, "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "flask", "doctor", *words],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_dead_servers_and_a_board_that_does_not_start(ward: Ward) -> None:
    """Everything is wrong at once, and each is told, in seconds and without a secret."""
    word = "hunter2-is-no-password"
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    ward.plant(
        SECRET_KEYS="weak",
        DATABASE_URL=f"postgresql://alice:{word}@127.0.0.1:{port}/nothing",
        REDIS_URL=f"redis://:{word}@127.0.0.1:{port}/0",
        MONGODB_URI=f"mongodb://alice:{word}@127.0.0.1:9/nothing",
        PORT="no number",
    )
    began = time.monotonic()
    with silent:
        done = doctor(ward, "--json")
    assert time.monotonic() - began < 30
    told = json.loads(done.stdout)
    names = {f"{each['topic']}.{each['check']}" for each in told["findings"] if each["severity"] == "error"}
    assert {"start.starts", "secrets.keys", "database.answers", "redis.answers", "documents.answers"} <= names
    assert (done.returncode, told["status"], "secrets.shared" in names) == (1, "error", True)
    assert word not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_command_on_a_board_that_is_well(ward: Ward, make_board: Callable[..., Flask]) -> None:
    ward.plant(APP_ENV="development", COLUMNS="100")
    ward.start(make_board)
    note_duties(ward.app)
    run = ward.app.test_cli_runner().invoke
    done = run(command, [])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.output.splitlines()[-1].endswith("looked at and fine")
    assert max(map(len, done.output.splitlines())) <= 100
    assert not any(value in done.output for value in STRONG)
    strict = run(command, ["--strict", "--formation", "web=2"])  # the servers of the tests flush nothing to the disk
    assert strict.exit_code == 1 and "web 2 × 5" in strict.output
    assert run(command, ["--formation", "web=many"]).exit_code == 2


@pytest.mark.unit
def test_other_commands_of_a_board_that_does_not_start_say_why() -> None:
    done = invalid(["SECRET_KEYS is not set"]).test_cli_runner().invoke(args=["db", "check"])
    assert done.exit_code == 1 and "SECRET_KEYS is not set" in done.output

    def asked(*arguments: str) -> bool:
        return is_asked_for("doctor", arguments=["flask", *arguments])

    assert asked("doctor", "--json") and asked("--debug", "doctor")
    assert not asked("db", "doctor") and not asked()
    assert is_asked_for("plugins", "check", arguments=["flask", "plugins", "check", "--json"])
    assert not is_asked_for("plugins", "check", arguments=["flask", "plugins"])


# -- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.unit
def test_how_findings_are_made() -> None:
    assert split("A is wrong; do this; then that") == ("A is wrong", "do this; then that")
    assert split("the role is a superuser: use a plain one") == ("the role is a superuser", "use a plain one")
    assert split("no cure") == ("no cure", "")
    assert is_near("redis") and is_near("10.0.0.7") and is_near("db.internal") and not is_near("db.example.com")
    assert (ok("a", "b").severity, error("a", "b", "c").cure) == ("ok", "c")


@pytest.mark.unit
@pytest.mark.parametrize("weak", ["short", "a" * 40, "abcdefghijkl" * 4, "my-insecure-key-0123456789-abcdefghijk"])
def test_weak_secrets(weak: str) -> None:
    assert secrets.weakness_of(weak)


@pytest.mark.unit
def test_good_secrets() -> None:
    assert [secrets.weakness_of(Secret(each)) for each in STRONG] == [""] * 4


@pytest.mark.unit
def test_the_pages_for_operators_name_what_there_is() -> None:
    pages = ROOT / "docs" / "operators"
    told = (pages / "doctor.md").read_text()
    assert [topic for topic in TOPICS if f"`{topic}`" not in told] == []
    told = (pages / "logs-and-metrics.md").read_text()
    assert [name for name in METRICS if f"`{name}`" not in told and "shelf" not in name] == []
