"""A queue's figures by task and tenant, over HTTP and from the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from shop import Shop, administrator

from core.background.tasks import enqueue
from core.contracts import SYSTEM
from core.data import DEFAULT, acting_in, new_id
from core.trust import acting_as
from plugins.jobs import cli
from plugins.jobs.services import sight

API = "/api/jobs/queues/default/figures"


@pytest.fixture
def admin(board: Flask, run_jobs: Callable[[], int]) -> Shop:
    made = administrator(board)
    with board.app_context(), acting_in(DEFAULT), acting_as(SYSTEM):
        enqueue("shelf.count", book_id=new_id())
        run_jobs()
        enqueue("shelf.count", book_id=new_id())
    return made


def test_figures_by_task_and_tenant(board: Flask, admin: Shop) -> None:
    [told] = [each for each in admin.get(API).json["items"] if each["name"] == "shelf.count"]
    assert (told["waiting"], told["completed"], told["failed"], told["total"], told["ended"]) == (1, 1, 0, 2, 1)
    assert told["wait_ms"]["p50"] is not None and told["run_ms"]["p99"] is not None
    tenants = admin.get(API, by="tenant", hours=24).json["items"]
    assert {str(DEFAULT.id)} <= {each["name"] for each in tenants}
    assert admin.get(API, by="colour").status_code == 422
    assert admin.get(API, hours=25).status_code == 422
    assert admin.get("/api/jobs/queues/nothing/figures").status_code == 404
    out = board.test_cli_runner().invoke(cli.jobs, ["figures", "--hours", "2"]).output
    assert "shelf.count: waiting 1, active 0, delayed 0; completed 1, failed 0; waited p50" in out


def test_a_tenant_sees_its_own_line_alone(admin: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sight, "board_wide", lambda: False)
    assert admin.get(API).status_code == 403
    assert [each["name"] for each in admin.get(API, by="tenant").json["items"]] == [str(DEFAULT.id)]
