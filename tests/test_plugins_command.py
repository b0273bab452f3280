"""`flask plugins list` and `check`, for people and for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from core.ops import plugins

Say = Callable[..., Result]


@pytest.fixture
def say(make_board: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> Say:
    """A command on a board with only `auth` chosen, unless told otherwise."""

    def typed(*words: str, chosen: str = "auth") -> Result:
        monkeypatch.setenv("PLUGINS", chosen)
        return make_board("cli").test_cli_runner().invoke(plugins.group, words)

    return typed


def test_the_list_is_aligned_and_names_those_that_are_not_chosen(say: Say) -> None:
    on, *others = say("list").output.splitlines()
    assert re.match("auth +on   pegboard ", on)
    assert on.endswith(" ms  provides UserDirectory, Authenticator, PersonalData · public paths /.well-known/jwks.json")
    assert [line for line in others if re.fullmatch("shelf +off  not in PLUGINS", line)]
    assert {line.index(" off ") for line in others} == {on.index(" on ")}


def test_the_list_for_programs(say: Say) -> None:
    auth, *others = json.loads(say("list", "--json").output)
    assert {"name": "auth", "state": "on", "reason": [], "distribution": "pegboard", "api": 1}.items() <= auth.items()
    assert auth["load_ms"] >= 0 and auth["provides"] == ["UserDirectory", "Authenticator", "PersonalData"]
    assert {"name": "shelf", "state": "off", "reason": ["not in PLUGINS"], "package": "shelf"} in others


def test_all_is_well(say: Say) -> None:
    assert say("check", chosen="auth,shelf").output == "2 plugins keep the rules: auth, shelf\n"
    assert json.loads(say("check", "--json").output) == {"plugins": ["auth"], "faults": []}


def test_what_no_boot_notices_is_told_and_fails(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    from plugins.auth.services.authenticator import Credentials

    def broken(*_: Any) -> None:
        raise OSError("no keys")

    monkeypatch.setattr(Credentials, "__init__", broken)
    told = "plugin auth: its Authenticator cannot be made: OSError: no keys; correct what provides= names"
    assert say("check").output == f"{told}\n"
    done = say("check", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output)["faults"] == [told]


def test_an_implementation_that_lacks_a_method(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    from plugins.auth.services.people import People

    monkeypatch.delattr(People, "by_email")
    assert say("check").output == "plugin auth: its UserDirectory lacks by_email; add them\n"
