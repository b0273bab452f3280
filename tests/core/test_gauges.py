"""The queues in `/metrics`: as Redis has them, and left out where it cannot be asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from core.background import enqueue
from core.background.queue import figures
from core.contracts import SYSTEM
from core.data import new_id
from core.trust import acting_as


def told(client: FlaskClient) -> dict[tuple[str, ...], float]:
    text = client.get("/metrics").text
    families = [family for family in text_string_to_metric_families(text) if family.name.startswith("queue_")]
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_queues_are_told_with_their_states(ctx: Flask, run_jobs: Callable[[], int]) -> None:
    client = ctx.test_client()
    with acting_as(SYSTEM):
        enqueue("shelf.count", book_id=new_id())
    before = told(client)
    assert before["queue_jobs", "default", "waiting"] == 1
    assert 0 <= before["queue_oldest_seconds", "default"] < 60
    run_jobs()
    after = told(client)
    assert after["queue_jobs", "default", "waiting"] == 0
    assert after["queue_ended_total", "default", "completed"] == 1
    assert after["queue_workers", "default"] <= 1
    assert 0 <= after["queue_wait_seconds", "default", "0.95"] < 60
    assert 0 <= after["queue_run_seconds", "default", "0.5"] < 60
    assert after["queue_task_ended_total", "default", "shelf.count", "completed"] == 1


def test_without_redis_the_rest_is_told_all_the_same(
    board: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise ConnectionError("no Redis")

    client.get("/livez")
    monkeypatch.setattr(figures, "all_figures", away)
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert "http_requests_total" in reply.text and "queue_" not in reply.text
