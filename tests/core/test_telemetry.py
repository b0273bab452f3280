"""Logs say who and what, on one line, and never a secret; metrics add up over processes."""

import io
import json
import logging
import os
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings, strategies as st
from log_lines import SETTINGS, told

from core import telemetry
from core.telemetry import logs

pytestmark = pytest.mark.unit

# -- lines ------------------------------------------------------------------------------------------------------


def test_a_line_is_one_object() -> None:
    line = told("%s has %d\nlines", "it", 2, extra={"status": 200, "route": "/api/x/<id>"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "INFO",
        "logger": "plugins.chat.services",
        "message": "it has 2\nlines",
        "plugin": "chat",
        "extra": {"status": 200, "route": "/api/x/<id>"},
    }


def test_the_context_is_on_every_line_and_ends() -> None:
    tenant = uuid.uuid4()
    with telemetry.log_context(request_id="r-1", tenant=tenant):
        was = telemetry.log_context(user="u-1", plugin="auth")
        assert told().items() >= {"request_id": "r-1", "tenant": str(tenant), "user": "u-1", "plugin": "auth"}.items()
        assert telemetry.request_id() == "r-1"
        with telemetry.log_context(user=None):
            assert "user" not in told()
        was.reset()
        assert "user" not in told()
        assert told()["plugin"] == "chat"
    assert telemetry.request_id() is None
    assert "tenant" not in told()
    with pytest.raises(TypeError, match="colour"):
        telemetry.log_context(colour="red")


def test_a_clients_request_id_is_taken_only_when_clean() -> None:
    for good in ("a", "A-b_c.9", "x" * 64):
        assert telemetry.clean_request_id(good) == good
    for bad in (None, "", "x" * 65, "a b", "a\n", "é", "a/b", "٣", '"}{"'):
        made = telemetry.clean_request_id(bad)
        assert made != bad
        assert telemetry.clean_request_id(made) == made
    assert telemetry.new_request_id() != telemetry.new_request_id()


def test_exceptions_are_one_text() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("password='hunter2' is too short")  # noqa: B904
    except ValueError:
        line = told("failed", exc_info=True, stack_info=True)
    assert "Traceback" in line["exception"]
    assert "KeyError" in line["exception"]
    assert "Stack" in line["exception"]
    assert "hunter2" not in line["exception"]
    assert "exception" not in told("nothing is being handled", exc_info=True)


class Awkward:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


def test_nothing_that_is_logged_breaks_logging() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    cyclic = ValueError("a")
    cyclic.__cause__ = cyclic
    assert told("%d", "not a number")["message"] == "%d ['not a number']"
    assert told("%s %s", "one")["message"] == "%s %s ['one']"
    assert told("%(name)s", {"other": 1})["message"]
    assert "cannot be shown" in told("%s", Awkward())["message"]
    assert "cannot be shown" in told(Awkward())["message"]
    assert told(extra={"it": Awkward(), "loop": loop, "f": float("nan"), "n": 2**80, 7: "seven"})["extra"]["it"]
    assert "\\ud800" in told("half a pair: \ud800")["message"]
    assert told(extra={"\ud800": "\ud800"})["extra"]
    assert told("x", exc_info=(ValueError, cyclic, None))["exception"]
    assert told("x", exc_info=(ValueError, ValueError(Awkward()), None))["exception"]
    assert told(b"bytes", extra={"b": b"\xff", "s": {1, 2}, "o": object(), "id": uuid.UUID(int=7), "e": os.EX_OK})
    assert len(json.dumps(told("x" * 10**6, extra={"many": list(range(10**5))}))) < 50_000


@given(
    st.text(), st.recursive(st.none() | st.text() | st.floats() | st.integers() | st.binary(), st.lists, max_leaves=5)
)
@settings(max_examples=200, deadline=None)
def test_any_text_and_value_makes_one_line(text: str, value: Any) -> None:
    told("%s", text, extra={"value": value})
    told(text, value)


# -- where logs go ----------------------------------------------------------------------------------------------


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def boot(kind: str, **changed: Any) -> None:
    app = Flask("bare")
    app.extensions["pegboard.settings"] = replace(SETTINGS, **changed)
    app.extensions["pegboard.kind"] = kind
    telemetry.init_app(app)


def test_serving_processes_write_json_to_stdout(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        boot("web", app_env="development")  # stdout is no terminal here
    logging.getLogger("gunicorn.error").info("booting")
    logging.getLogger("somewhere").debug("not shown")
    out, err = capsys.readouterr()
    assert json.loads(out)["message"] == "booting"
    assert not err
    assert len([handler for handler in root.handlers if isinstance(handler, logs.Lines)]) == 1
    boot("worker", log_level="DEBUG")
    logging.getLogger("somewhere").debug("shown")
    assert json.loads(capsys.readouterr().out)["level"] == "DEBUG"


def test_the_command_line_writes_plain_warnings_to_stderr(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    boot("cli")
    logging.getLogger("somewhere").info("not shown")
    logging.getLogger("somewhere").warning("password=hunter2\nforged \x1b[31mline", extra={"n": 1})
    out, err = capsys.readouterr()
    assert not out
    assert "hunter2" not in err
    assert "\x1b" not in err
    assert "not shown" not in err
    assert err.splitlines()[1].startswith("    forged")
    assert "n=1" in err


def test_a_terminal_in_development_gets_readable_lines(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    boot("web", app_env="development")
    with telemetry.log_context(request_id="r-1"):
        logging.getLogger("somewhere").error("oh", exc_info=ValueError("no"))
    shown = capsys.readouterr().out
    assert "ERROR   somewhere: oh  request_id=r-1" in shown
    assert shown.endswith("ValueError: no\n")
    boot("web")
    logging.getLogger("somewhere").info("in production it stays JSON")
    assert json.loads(capsys.readouterr().out)


def test_a_stream_that_cannot_be_written_stops_nobody(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    boot("web")
    monkeypatch.setattr(sys, "stdout", narrow := io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    logging.getLogger("somewhere").info("grüß")
    narrow.seek(0)
    assert "gr" in narrow.read()
    narrow.close()
    logging.getLogger("somewhere").info("closed")
