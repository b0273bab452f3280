"""Cron entries in time zones, against moments that were worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.background.schedules import cron
from core.background.schedules.rhythm import Rhythm

pytestmark = pytest.mark.unit


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}:00+00:00")


# Berlin 2026: +1 until 29 March 01:00 UTC (02:00 -> 03:00), +2 until 25 October 01:00 UTC (03:00 -> 02:00).
# Lord Howe 2026: +11 until 4 April 15:00 UTC (02:00 -> 01:30), +10:30 until 3 October 15:30 UTC (02:00 -> 02:30).
# Santiago 2026: -3 until 5 April 03:00 UTC (24:00 -> 23:00), -4 until 6 September 04:00 UTC (00:00 -> 01:00).
# Apia 2011: the 30th of December is left out, from -10 to +14, at 10:00 UTC.
TABLE = [
    ("Europe/Berlin", "30 2 * * *", "2026-03-28 00:00", "28 01:30, 29 01:00, 30 00:30, 31 00:30"),
    ("Europe/Berlin", "0 3 * * *", "2026-03-28 00:00", "28 02:00, 29 01:00, 30 01:00"),
    ("Europe/Berlin", "0,30 2 * * *", "2026-03-28 12:00", "29 01:00, 30 00:00, 30 00:30"),
    ("Europe/Berlin", "*/20 2 * * *", "2026-03-28 12:00", "29 01:00, 30 00:00, 30 00:20, 30 00:40, 31 00:00"),
    ("Europe/Berlin", "0 * * * *", "2026-03-28 23:30", "29 00:00, 29 01:00, 29 02:00"),
    ("Europe/Berlin", "0 */2 * * *", "2026-03-28 22:30", "28 23:00, 29 02:00, 29 04:00"),
    ("Europe/Berlin", "30 2 * * *", "2026-10-24 00:00", "24 00:30, 25 00:30, 26 01:30"),
    ("Europe/Berlin", "30 2 * * *", "2026-10-25 00:30", "26 01:30, 27 01:30"),
    ("Europe/Berlin", "*/30 2 * * *", "2026-10-24 12:00", "25 00:00, 25 00:30, 26 01:00"),
    ("Europe/Berlin", "0 * * * *", "2026-10-24 22:30", "24 23:00, 25 00:00, 25 01:00, 25 02:00, 25 03:00"),
    ("Europe/Berlin", "*/30 * * * *", "2026-10-25 00:00", "25 00:30, 25 01:00, 25 01:30, 25 02:00"),
    ("Europe/Berlin", "0 0 * * 1", "2026-03-22 00:00", "22 23:00, 29 22:00"),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-03 12:00", "03 14:45, 04 14:45, 05 15:15"),
    ("Australia/Lord_Howe", "0 2 * * *", "2026-04-03 12:00", "03 15:00, 04 15:30, 05 15:30"),
    ("Australia/Lord_Howe", "*/15 * * * *", "2026-04-04 14:30", "04 14:45, 04 15:00, 04 15:15, 04 15:30"),
    ("Australia/Lord_Howe", "45 * * * *", "2026-04-04 14:00", "04 14:45, 04 15:15, 04 16:15"),
    ("Australia/Lord_Howe", "10 2 * * *", "2026-10-02 12:00", "02 15:40, 03 15:30, 04 15:10"),
    ("Australia/Lord_Howe", "0 * * * *", "2026-10-03 14:00", "03 14:30, 03 16:00, 03 17:00"),
    ("America/Santiago", "0 0 * * *", "2026-09-05 00:00", "05 04:00, 06 04:00, 07 03:00"),
    ("America/Santiago", "30 23 * * *", "2026-04-03 12:00", "04 02:30, 05 02:30, 06 03:30"),
    ("Pacific/Apia", "0 9 * * *", "2011-12-28 00:00", "28 19:00, 29 19:00, 30 10:00, 30 19:00"),
    ("Asia/Kathmandu", "0 6 * * *", "2026-01-01 00:00", "01 00:15, 02 00:15"),
    ("UTC", "0 2 29 2 *", "2026-01-01 00:00", "29 02:00"),
]


@pytest.mark.parametrize(("zone", "entry", "after", "expected"), TABLE, ids=lambda value: str(value)[:16])
def test_moments_where_the_clock_is_set(zone: str, entry: str, after: str, expected: str) -> None:
    wanted = expected.split(", ")
    found = Rhythm(cron=entry, timezone=zone).next(len(wanted), at(after))
    assert [f"{each:%d %H:%M}" for each in found] == wanted
    assert all(each.tzinfo is UTC for each in found)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca"])
def test_whoever_looks_at_any_moment_finds_the_same_ticks(zone: str) -> None:
    """What comes next does not depend on where one has stopped: no tick is left out or told twice."""
    dice = Random(7)
    for entry in ("*/20 1-3 * * *", "0 * * * *", "30 */3 * * *", "15,45 0,23 * * *"):
        rhythm = Rhythm(cron=entry, timezone=zone)
        begin = at("2026-03-01 00:00")
        ticks = rhythm.next(3000, begin)
        assert all(one < two for one, two in pairwise(ticks))
        for index in (dice.randrange(len(ticks) - 1) for _ in range(300)):
            gap = ticks[index + 1] - ticks[index]
            assert rhythm.after(ticks[index] + gap * dice.random()) == ticks[index + 1]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago", "Africa/Casablanca", "Pacific/Apia"])
@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("0,30 */1 25 10 *", lambda wall: (wall.month, wall.day) == (10, 25)),
        ("30 * 5,29 3,4 *", lambda wall: wall.minute == 30 and wall.month in (3, 4) and wall.day in (5, 29)),
        (
            "0 */23 6,30 9,12 *",
            lambda wall: wall.minute == 0 and wall.hour in (0, 23) and (wall.month, wall.day) in LATE,
        ),
    ],
)
def test_rare_entries_run_whenever_the_wall_shows_them(zone: str, entry: str, shown: Any) -> None:
    """What lies between is passed over; each clock is watched each half hour of a year in which it is set."""
    begin = datetime(2011 if zone == "Pacific/Apia" else 2026, 1, 1, tzinfo=UTC)
    watched = [begin + timedelta(minutes=30) * number for number in range(1, 370 * 48)]
    wanted = [each for each in watched if shown(each.astimezone(ZoneInfo(zone)))]
    assert Rhythm(cron=entry, timezone=zone).next(len(wanted), begin) == wanted and len(wanted) > 3


LATE = {(9, 6), (9, 30), (12, 6), (12, 30)}


def test_of_ticks_that_are_decades_apart_not_each_day_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[datetime] = []
    offset = cron._offset
    monkeypatch.setattr(cron, "_offset", lambda moment, zone: looked.append(moment) or offset(moment, zone))
    found = Rhythm(cron="0 */24 29 2 */7", timezone="Africa/Casablanca").next(50, at("2026-01-01 00:00"))
    assert found[-1].year > 3500
    assert len(looked) < 50 * 40


def test_minutely_entries_run_each_minute_of_the_year() -> None:
    for zone in ("Europe/Berlin", "Australia/Lord_Howe"):
        rhythm = Rhythm(cron="* * * * *", timezone=zone)
        for begin in ("2026-03-29 00:00", "2026-04-04 14:00", "2026-10-03 14:00", "2026-10-25 00:00"):
            expected = [at(begin) + timedelta(minutes=number) for number in range(1, 200)]
            assert rhythm.next(199, at(begin)) == expected


def test_seconds_count_from_the_epoch() -> None:
    assert Rhythm(every=3600).next(2, at("2026-01-01 00:59")) == [at("2026-01-01 01:00"), at("2026-01-01 02:00")]
    assert Rhythm(every=7).after(at("2026-01-01 00:00")) == Rhythm(every=7).after(at("2026-01-01 00:00"))


def test_what_was_missed_is_found_from_the_end() -> None:
    first, until = at("2024-01-01 00:00"), at("2026-01-01 00:00")
    found = Rhythm(cron="* * * * *").last(100, first, until)
    assert (len(found), found[-1], found[0]) == (100, until, until - timedelta(minutes=99))
    assert Rhythm(cron="0 0 1 * *").last(100, first, until)[0] == first
    assert Rhythm(cron="0 0 1 * *").last(3, first, until)[0] == at("2025-11-01 00:00")
    assert Rhythm(every=1).last(100, until, until) == [until]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("* * * *", "expected five fields"),
        ("* * * * * *", "expected five fields"),
        ("@daily", "expected five fields"),
        ("60 * * * *", "bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 0 32 * *", "bad day-of-month"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 * 13 *", "bad month"),
        ("0 0 * * 9", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("5-1 * * * *", "bad minute"),
        ("* * */20 * 1L", "names a day"),
        ("0 0 \N{SUPERSCRIPT TWO} * *", "expected five fields"),
        ("0 0 * * " + "1," * 60, "expected five fields"),
    ],
)
def test_bad_entries_say_what_is_wrong(entry: str, told: str) -> None:
    [(field, why)] = Rhythm(cron=entry).faults()
    assert field == "cron"
    assert told in why


def test_no_entry_makes_the_reader_fail() -> None:
    dice = Random(3)
    for _ in range(3000):
        entry = " ".join("".join(dice.choices("0123456789*,/-#LWMON", k=dice.randint(1, 5))) for _ in range(5))
        assert cron.fault(entry) is None or isinstance(cron.fault(entry), str)


@pytest.mark.parametrize(
    "zone", ["Mars/Phobos", "", "../../etc/passwd", "Europe", "europe/berlin", "localtime", "CET\n"]
)
def test_unknown_zones_are_refused(zone: str) -> None:
    [(field, _)] = Rhythm(cron="0 0 * * *", timezone=zone).faults()
    assert field == "timezone"


def test_it_is_either_an_entry_or_seconds() -> None:
    for rhythm in (Rhythm(), Rhythm(cron="0 0 * * *", every=5), Rhythm(every=0), Rhythm(every=10**9)):
        assert rhythm.faults()
    assert not Rhythm(every=5).faults()
