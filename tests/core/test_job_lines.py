"""The log's lines of jobs that were done: each at a quiet time, one for many at a busy one."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from core import telemetry
from core.background.queue import lines
from core.telemetry.logs import entry


@pytest.fixture
def told(ctx: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(lines, "LINES", 3)
    monkeypatch.setattr(lines, "_second", 0.0)
    caplog.set_level(logging.INFO, "core.background.queue.lines")
    return caplog


def test_those_beyond_the_most_of_a_second_are_told_by_task(told: pytest.LogCaptureFixture) -> None:
    for number in range(5):
        lines.done("shop.count", 0.010, {"task": "shop.count", "job": str(number)})
    lines.done("shop.tidy", 0.5, {"task": "shop.tidy", "job": "6"})
    lines.sum_up()
    assert [each.message for each in told.records] == ["job done"] * 3 + ["jobs done"] * 2
    sums = {each.task: (each.many, each.mean_ms) for each in told.records[3:]}  # type: ignore[attr-defined]
    assert sums == {"shop.count": (2, 10.0), "shop.tidy": (1, 500.0)}
    lines.sum_up()
    assert len(told.records) == 5, "once"


def test_a_sum_is_nobodys_in_particular(told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINES", 0)
    shown = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(entry(record))  # type: ignore[method-assign]
    lines.log.addHandler(handler)
    try:
        with telemetry.log_context(tenant="t", user="u", request_id="r"):
            lines.done("shop.count", 0.010, {})
            lines.sum_up()
    finally:
        lines.log.removeHandler(handler)
    assert {*shown[0]} == {"time", "level", "logger", "message", "plugin", "extra"}
