"""`flask auth users`, `revoke` and `compromised`: what operators do where no administrator is at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from administering import administrator, log_in, somebody, stands, stranger
from auth_helpers import code
from flask import Flask
from flask.testing import FlaskClient

from core.data import PLATFORM

Superuser = psycopg.Connection[Any]


@pytest.fixture
def flask_auth(board: Flask, make_board: Callable[..., Flask]) -> Callable[..., Any]:
    """`flask auth …` in this process."""
    app = make_board("cli")
    return lambda *arguments: app.test_cli_runner().invoke(args=["auth", *arguments])


def test_people_are_listed_newest_first_over_as_many_pages_as_it_takes(
    board: Flask, flask_auth: Callable[..., Any], superuser: Superuser
) -> None:
    for number in range(102):
        stranger(board, f"user{number:03}@example.com", password_hash="x")
    off = stranger(board, "off@example.com", active=False, must_reset=True)
    stranger(board, "ops@example.com", tenant=PLATFORM)
    result = flask_auth("users")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == f"{off}\toff@example.com\toff\tswitched off, must reset, no password"
    assert [line.split("\t")[1] for line in lines[1:]] == [f"user{n:03}@example.com" for n in reversed(range(102))]
    assert flask_auth("users", "--search", "OFF@").output.splitlines() == lines[:1]
    assert "ops@example.com" in flask_auth("users", "--tenant", "platform").output


def test_somebody_is_signed_out_everywhere(
    board: Flask, client: FlaskClient, flask_auth: Callable[..., Any], superuser: Superuser
) -> None:
    bob = somebody(board, "bob@example.com")
    log_in(client, "bob@example.com")
    result = flask_auth("revoke", "BOB@example.com")
    assert (result.exit_code, result.output) == (0, "2 sessions ended\n")
    assert not stands(client, bob.headers)
    audited = superuser.execute(
        "select actor_kind, resource_id from core_audit where action = 'auth.user_sessions_ended'"
    ).fetchall()
    assert audited == [("system", bob.id)]
    assert flask_auth("revoke", "bob@example.com").output == "0 sessions ended\n"


def test_a_hacked_account_is_closed_and_its_story_printed(
    board: Flask, client: FlaskClient, flask_auth: Callable[..., Any]
) -> None:
    admin = administrator(board)
    result = flask_auth("compromised", "admin@example.com", "--reason", "a lost laptop")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["user"]["id"] == admin.id
    assert told["events"][0]["details"] == {"by": "system", "reason": "a lost laptop"}
    assert not stands(client, admin.headers)
    assert code(log_in(client, "admin@example.com")) == (403, "RESET_REQUIRED")


@pytest.mark.parametrize("reason", ["", "x" * 501])
def test_a_hacked_account_is_not_closed_without_a_reason(
    board: Flask, flask_auth: Callable[..., Any], superuser: Superuser, reason: str
) -> None:
    stranger(board, "bob@example.com")
    result = flask_auth("compromised", "bob@example.com", "--reason", reason)
    assert (result.exit_code, "1 to 500" in result.output) == (2, True)
    assert superuser.execute("select must_reset from auth_users").fetchall() == [(False,)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("revoke", "nobody@example.com"),
        ("revoke", "no address"),
        ("revoke", "bob@example.com", "--tenant", "nowhere"),
        ("users", "--tenant", "nowhere"),
        ("compromised", "nobody@example.com", "--reason", "x"),
        ("compromised", "nobody@example.com"),
    ],
)
def test_the_commands_say_what_is_wrong(flask_auth: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    result = flask_auth(*arguments)
    assert result.exit_code != 0
    assert "Error:" in result.output
    assert "Traceback" not in result.output
