"""A board that is wrong in many ways says all of it in one start, the board's own faults and its plugins'."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.config import BoardSettings, load
from core.errors import BootError
from core.trust.limits import Rate

ROOT = Path(__file__).resolve().parents[2]
PICKY = ROOT / "tests" / "broken_plugins" / "bad_settings"  # a plugin with a key, a size and a password

WRONG = {
    "APP_ENV": "production",
    "API_URL": "https://board.example.com",
    "SECRET_KEYS": "hunter2-the-short",
    "DATABASE_URL": "mysql://alice:hunter2@db.example.com/board",
    "REDIS_URL": "http://:hunter2@redis.example.com",
    "MONGODB_URI": "mongodb://mongo.example.com/board",
    "LOG_LEVEL": "loud",
    "RATE_LIMIT": "nonsense",
    "PLUGINS": "picky,phantom",
    "PICKY_KEY": "k",
    "PICKY_PASSWORD": "hunter2",
    "PICKY_SIZE": "big",
}
TOLD = [
    "pegboard: LOG_LEVEL 'loud' is not acceptable: expected DEBUG, INFO, WARNING or ERROR",
    "pegboard: DATABASE_URL is not acceptable: expected postgresql://user:password@host:5432/name",
    "pegboard: REDIS_URL is not acceptable: expected redis://host:6379/0, rediss://… or unix:///path",
    "pegboard: RATE_LIMIT 'nonsense' is not acceptable: expected such as 10/minute, 100/15 minutes, or 0 for no limit",
    "pegboard: SECRET_KEYS holds a weak secret: use at least 32 random characters",
    "pegboard: PLUGINS names 'phantom', which is not installed; installed are: …",
    "pegboard: plugin picky: PICKY_SIZE 'big' is not acceptable: expected a whole number",
]

pytestmark = pytest.mark.unit


def start(*arguments: str, **environ: str) -> tuple[int, list[str]]:
    """A start with nothing else in the environment: its exit status, and what it says, whatever is installed here."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(PICKY), "PYTHONIOENCODING": "utf-8", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    said = re.sub(r"(?<=installed are: ).*\bpicky\b.*", "…", done.stdout + done.stderr)
    return done.returncode, said.splitlines()


def test_seven_faults_of_board_and_plugins_in_one_start() -> None:
    status, told = start("-c", "from core.app import boot; boot('web')", **WRONG)
    assert (status, told) == (1, TOLD)


def test_gunicorn_tells_them_too_before_it_reads_a_setting() -> None:
    port = "pegboard: PORT 'x' is not acceptable: expected a whole number from 0 to 65535"
    status, told = start("-m", "gunicorn", "wsgi:app", **WRONG, PORT="x")
    assert (status, told) == (1, [port, *TOLD])


@pytest.mark.parametrize(
    "text",
    [
        *("0", " 0 ", "1/second", "10/minute", "100/15 minutes", " 5 / 2 hours ", "10000/second", "600000/minute"),
        *("", "00", "0/minute", "often", "-1/minute", "10", "10/0 minutes", "10001/second", "600001/minute", "1/week"),
        *("9999999999/day", "1/12345 days", "١/minute", "10/minute\n", "10/minutess", "1/MINUTE"),
    ],
)
def test_what_settings_accept_as_a_rate_is_what_limits_can_read(text: str) -> None:
    """``core.config`` lies below ``core.trust.limits`` and knows the form on its own: the two must agree."""
    settings = BoardSettings(app_env="development", database_url="", redis_url="", mongodb_uri="", rate_limit=text)
    try:
        Rate.parse(text)
        readable = True
    except ValueError:
        readable = False
    assert readable is not any(fault.startswith("RATE_LIMIT ") for fault in settings.check())


def test_a_short_word_for_production_alone_tells_all_that_it_needs() -> None:
    with pytest.raises(BootError) as caught:
        load({"APP_ENV": "production"})
    named = {re.split(r"\W", fault)[0] for fault in caught.value.faults}
    assert named == {"SECRET_KEYS", "API_URL", "DATABASE_URL", "REDIS_URL", "MONGODB_URI"}
