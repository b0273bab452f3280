"""What the plugin does each night, and the reports that it answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from flask import Flask

from core.background.queue import contents, tallies
from core.background.queue.frames import lane_of
from core.background.queue.keys import Keys
from core.background.queue.scripts import NAMES
from core.background.queue.settling import Record
from core.background.schedules import tasks
from core.background.schedules.firing import fire
from core.background.schedules.reconciling import reconcile
from core.contracts import ReportSource, services
from core.data import DEFAULT, acting_in, new_id, redis, utcnow
from core.errors import Refused
from plugins.jobs.services import hours, housekeeping, reports

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_clean_up_forgets_what_is_old_and_nothing_that_waits(
    board: Flask, run_jobs: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    keys, now = Keys("reports"), utcnow()
    with board.app_context():
        store = redis.client()
        store.sadd(NAMES, "reports")
        for key, days in (("old", 91), ("young", 89)):
            store.hset(keys.dead, key, "{}\n")
            store.zadd(keys.dead_at, {key: (now - timedelta(days=days)).timestamp() * 1000})
        for place in (keys.done, keys.failed):
            for days in (40, 31, 29, 0):
                record = Record(str(new_id()), "t.note", 1, now - timedelta(days=days), 1.0)
                store.lpush(place, msgspec.json.encode(record))
        waiting_before = list(contents.waiting())
        with caplog.at_level(logging.INFO):
            assert housekeeping.clean_up(now)["reports"] == (1, 4)
        assert housekeeping.clean_up(now)["reports"] == (0, 0)
        assert store.hkeys(keys.dead) == store.zrange(keys.dead_at, 0, -1) == [b"young"]
        assert [store.llen(place) for place in (keys.done, keys.failed)] == [2, 2]
        assert list(contents.waiting()) == waiting_before
    assert any(vars(line).get("dead_letters") == 1 for line in caplog.records)


def test_clean_up_forgets_what_was_counted_of_those_who_are_gone(board: Flask, worker_app: Flask) -> None:
    ended = Keys("default").ended
    kept = {"l:", f"l:{lane_of(DEFAULT.id)}", "k:jobs.clean_up"}
    with board.app_context():
        tasks.tell(worker_app)
        store: Any = redis.client()
        store.sadd(NAMES, "default")
        for one in (*kept, *(f"l:{lane_of(new_id())}" for _ in range(600)), "l:none", "k:t.gone"):
            store.hset(ended, mapping={f"{one}|completed": 2, f"{one}|failed": 1})
        housekeeping.clean_up()
        assert tallies.ever("default") == dict.fromkeys(kept, (2, 1))


MIDNIGHT = NOW.replace(hour=0)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def noted(at: datetime, completed: int, failed: int = 0) -> None:
    redis.client().hset(Keys("default").stat, mapping={"completed": completed, "failed": failed})
    hours.note(at)


def told_of(begin: datetime, end: datetime) -> tuple[Any, ...]:
    """Of the queue ``default``: what was completed, what failed, and the times that are known of."""
    found = services(ReportSource)["daily_summary"].report(begin.isoformat(), end.isoformat())
    queue = {each["name"]: each for each in found["queues"]}.get("default", {})
    return queue.get("completed"), queue.get("failed"), found["from"], found["to"]


def test_what_was_done_is_the_difference_of_the_nearest_figures(board: Flask) -> None:
    with board.app_context():
        noted(MIDNIGHT - DAY, 100, 3)
        noted(MIDNIGHT + 2 * MINUTE, 150, 4)
        hours.note(MIDNIGHT + 7 * MINUTE)
        noted(NOW, 170, 4)
        assert told_of(MIDNIGHT - DAY, MIDNIGHT) == (50, 1, MIDNIGHT - DAY, MIDNIGHT + 2 * MINUTE)
        assert told_of(MIDNIGHT, NOW) == (20, 0, MIDNIGHT + 2 * MINUTE, NOW)


def test_what_was_done_before_anything_was_noted_is_not_of_that_day(board: Flask) -> None:
    with board.app_context():
        noted(MIDNIGHT - 9 * HOUR, 1000, 7)  # the first scheduler of a board that has long been at work
        noted(MIDNIGHT - 3 * HOUR, 1010, 8)  # and it went before midnight
        assert told_of(MIDNIGHT - DAY, MIDNIGHT) == (10, 1, MIDNIGHT - 9 * HOUR, MIDNIGHT - 3 * HOUR)
        noted(NOW, 5000, 9)
        assert told_of(MIDNIGHT - DAY, MIDNIGHT) == (10, 1, MIDNIGHT - 9 * HOUR, MIDNIGHT - 3 * HOUR)


def test_of_a_day_without_a_scheduler_nothing_is_told(board: Flask) -> None:
    with board.app_context():
        assert told_of(MIDNIGHT - DAY, MIDNIGHT) == (None, None, None, None)
        noted(MIDNIGHT - 3 * DAY, 100)
        noted(NOW, 900)
        assert told_of(MIDNIGHT - DAY, MIDNIGHT) == (None, None, None, None)


def test_until_now_is_until_now(board: Flask) -> None:
    now = utcnow()
    with board.app_context():
        noted(now - 5 * HOUR, 100)
        redis.client().hset(Keys("default").stat, "completed", 130)
        done, failed, begin, end = told_of(now - 5 * HOUR, now)
    assert (done, failed, begin) == (30, 0, now - 5 * HOUR)
    assert abs(end - now) < MINUTE


def test_figures_that_began_anew_are_not_negative(board: Flask) -> None:
    with board.app_context():
        noted(MIDNIGHT - DAY, 100, 3)
        noted(MIDNIGHT, 40, 0)
        assert told_of(MIDNIGHT - DAY, MIDNIGHT)[:2] == (40, 0)


def test_the_daily_summary_is_mailed_once(
    board: Flask, worker_app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with board.app_context():
        noted(MIDNIGHT - DAY, 100, 3)
        noted(MIDNIGHT + 2 * MINUTE, 150, 4)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(reports, "service", lambda contract: Mails(sent))
    with worker_app.app_context():
        with caplog.at_level(logging.INFO):
            reports.tell_of_day_before(MIDNIGHT + HOUR)
        assert sent == [], "nobody is named"
        [line] = [vars(each) for each in caplog.records if each.message == "daily summary of the jobs"]
        assert (line["day"], line["from"], line["to"]) == ("2026-03-27", MIDNIGHT - DAY, MIDNIGHT + 2 * MINUTE)
        monkeypatch.setattr(reports, "settings", lambda: Named())
        reports.tell_of_day_before(MIDNIGHT + HOUR)
        reports.tell_of_day_before(MIDNIGHT + HOUR - 2 * DAY)
    mail, unknown = sent
    assert (mail["to"], mail["subject"]) == ("ops@example.com", "Jobs of 2026-03-27")
    assert mail["key"] == "jobs.daily_summary:2026-03-27"
    assert "as noted from 2026-03-27 00:00 to 2026-03-28 00:02 (UTC)" in mail["text"]
    assert "default: 50 completed, 1 failed; 0 dead letters, 0 waiting" in mail["text"]
    assert unknown["text"].startswith("Nothing is known of jobs on 2026-03-25")


class Named:
    admin_email = "ops@example.com"


class Mails:
    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.sent = sent

    def send(self, **mail: Any) -> None:
        self.sent.append(mail)


def test_both_run_as_jobs(board: Flask, run_jobs: Callable[[], int], caplog: pytest.LogCaptureFixture) -> None:
    with board.app_context():
        reconcile(NOW)
        fire(NOW + timedelta(days=1))
        caplog.set_level(logging.INFO)
        assert run_jobs() == 2
    told = [line.message for line in caplog.records]
    assert "daily summary of the jobs" in told
    assert "old dead letters and records are forgotten" in told
    assert "job failed" not in told


def test_hours_are_kept_for_a_week(board: Flask) -> None:
    with board.app_context():
        for number in range(hours.KEPT + 5):
            hours.note(NOW + timedelta(hours=number))
        assert redis.client().hlen(hours.key()) == hours.KEPT
        assert hours.around(NOW - HOUR, NOW) is None


def test_system_health_tells_queues_and_duties(board: Flask) -> None:
    with board.app_context(), acting_in(DEFAULT):
        report = services(ReportSource)["system_health"].report
        told = report("2026-03-27T00:00:00Z", "2026-03-28T00:00:00Z")
        assert {"at", "queues", "duties", "failing"} == told.keys()
        assert [each["name"] for each in told["queues"]] == ["default"]
        for since, until in (("x", "2026-03-28"), ("2026-03-28", "2026-03-28")):
            with pytest.raises(Refused):
                report(since, until)
