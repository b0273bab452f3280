"""Rate limits: exactly so many, whoever asks and however many ask at once, with Redis and without."""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
import redis as library
from flask import Flask
from redis_cable import bare

from core.contracts import Tenant
from core.data import redis
from core.data.tenancy import acting_in
from core.errors import RATE_LIMITED, Refused
from core.trust import limits
from core.trust.limits import Rate, enforce, headers, take

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(servers: Any) -> Iterator[Flask]:
    app = bare(servers.redis_url)
    with app.app_context():
        redis.client().flushdb()
        yield app


@pytest.fixture
def away(here: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The same, with Redis refusing connections until ``monkeypatch`` is undone."""

    def refuse(connection: library.Connection) -> None:
        raise ConnectionRefusedError(111, "refused for the test")

    redis.client().connection_pool.disconnect()
    monkeypatch.setattr(library.Connection, "_connect", refuse)
    return here


# -- rates ------------------------------------------------------------------------------------------------------


RATES = {"10/minute": (10, 60), "5/second": (5, 1), "100/hour": (100, 3600), "1000/day": (1000, 86400)}
RATES |= {"100/15 minutes": (100, 900), " 3 / 30seconds ": (3, 30)}


@pytest.mark.unit
@pytest.mark.parametrize("text", RATES)
def test_a_rate_is_read(text: str) -> None:
    assert Rate.parse(text) == Rate(*RATES[text])


@pytest.mark.unit
@pytest.mark.parametrize(
    "text",
    ["", "10", "0/minute", "-1/minute", "10/fortnight", "10/0 minutes", "1e3/minute", "20000/second", "١/minute"],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate.parse(text)


@pytest.mark.unit
def test_nought_means_no_limit() -> None:
    verdict = take("anybody", Rate.parse("0"))
    assert verdict.allowed
    assert headers(verdict) == {}


# -- taking -----------------------------------------------------------------------------------------------------


def test_so_many_and_no_more(here: Flask) -> None:
    rate = Rate.parse("3/hour")
    got = [take("ada", rate) for _ in range(5)]
    assert [verdict.allowed for verdict in got] == [True, True, True, False, False]
    assert [verdict.remaining for verdict in got] == [2, 1, 0, 0, 0]
    assert got[2].reset_after == pytest.approx(3600, abs=5)
    assert got[3].retry_after == pytest.approx(1200, abs=5)
    assert take("bob", rate).allowed


def test_units_come_back_one_by_one(here: Flask) -> None:
    rate = Rate.parse("10/second")
    began, taken = time.monotonic(), 0
    while (refused := take("ada", rate)).allowed:
        taken += 1
    assert 10 <= taken <= 11 + 10 * (time.monotonic() - began)
    assert 0 < refused.retry_after <= 0.1
    time.sleep(refused.retry_after)
    assert take("ada", rate).allowed


def test_a_cost_and_a_question(here: Flask) -> None:
    rate = Rate.parse("10/hour")
    assert take("ada", rate, cost=0).remaining == 10
    assert take("ada", rate, cost=7).remaining == 3
    assert take("ada", rate, cost=0).allowed
    refused = take("ada", rate, cost=5)
    assert not refused.allowed
    assert refused.remaining == 3
    assert refused.retry_after == pytest.approx(2 * 360, abs=5)
    assert take("ada", rate, cost=3).allowed
    assert not take("ada", rate, cost=0).allowed
    assert not take("bob", rate, cost=11).allowed
    with pytest.raises(ValueError, match="cost"):
        take("ada", rate, cost=-1)


def test_the_last_unit_is_there_whatever_the_rate(here: Flask) -> None:
    """Intervals that are no whole number of microseconds must not cost the last unit."""
    for limit in (1, 3, 7, 11, 13, 37, 600):
        assert take(f"n{limit}", Rate(limit, 86400), cost=limit).allowed
        assert not take(f"n{limit}", Rate(limit, 86400)).allowed


def test_keys_expire_by_themselves(here: Flask) -> None:
    take("ada", Rate.parse("60/minute"))
    (name,) = redis.client().keys("pb:-:limits:*")
    assert 0 < redis.client().pttl(name) <= 1001
    take("bob", Rate.parse("10/hour"), cost=0)
    assert redis.client().dbsize() == 1


def test_tenants_are_counted_apart_and_policies_too(here: Flask) -> None:
    rate = Rate.parse("1/hour")
    for slug in ("one", "two"):
        with acting_in(Tenant(uuid.uuid4(), slug, slug)):
            assert take("ada", rate).allowed
            assert not take("ada", rate).allowed
            assert take("shared", rate, everywhere=True).allowed is (slug == "one")
    assert take("ada", Rate.parse("1/hour", "log-in")).allowed
    assert take("ada", Rate.parse("2/hour")).allowed


def test_any_key_will_do(here: Flask) -> None:
    rate = Rate.parse("1/hour")
    keys = ["", "::1", "a:b", "a b", "é", "x" * 5000, "y" * 5000, "\ud800", "\n", "a\x00b"]
    assert [take(each, rate).allowed for each in keys] == [True] * len(keys)
    assert [take(each, rate).allowed for each in keys] == [False] * len(keys)
    assert all(len(name) < 120 for name in redis.client().keys("*"))


@pytest.mark.parametrize("key", ["register ada@example.com", "login 192.0.2.7", "ada"])
def test_who_was_counted_cannot_be_read_in_redis_nor_guessed(here: Flask, key: str) -> None:
    take(key, Rate.parse("3/hour", "log-in"))
    (name,) = redis.client().keys("*")
    text = name if isinstance(name, str) else name.decode()
    assert "ada" not in text and "192.0.2.7" not in text
    assert text.startswith("pb:-:limits:-:3/3600:log-in:"), "whose policy it is can still be seen"
    assert blake2b(key.encode(), digest_size=16).hexdigest() not in text, "whoever has a list of addresses has nothing"


TAKER = """
import sys
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, "tests/core")
from redis_cable import bare
from core.trust.limits import Rate, take
app = bare(sys.argv[1])
def use(_):
    with app.app_context():
        return take("together", Rate.parse("100/hour")).allowed
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(8) as many:
    print(sum(many.map(use, range(100))))
"""


def test_exactly_so_many_among_threads_and_processes(here: Flask, servers: Any) -> None:
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    command = [sys.executable, "-c", TAKER, servers.redis_url]
    others: list[Any] = [subprocess.Popen(command, **pipes) for _ in range(2)]

    def use(number: int) -> bool:
        with here.app_context():
            return take("together", Rate.parse("100/hour")).allowed

    assert [other.stdout.readline() for other in others] == ["ready\n"] * 2
    for other in others:
        other.stdin.write("\n")
        other.stdin.flush()
    with ThreadPoolExecutor(8) as many:
        mine = sum(many.map(use, range(100)))
    assert mine + sum(int(other.communicate(timeout=30)[0]) for other in others) == 100


# -- without Redis ----------------------------------------------------------------------------------------------


def test_without_redis_each_process_counts_by_itself(away: Flask, caplog: pytest.LogCaptureFixture) -> None:
    rate = Rate.parse("20/hour")

    def use(number: int) -> bool:
        with away.app_context():
            return take("ada", rate).allowed

    with ThreadPoolExecutor(8) as many:
        assert sum(many.map(use, range(100))) == 20
    refused = take("ada", rate)
    assert not refused.allowed
    assert refused.retry_after == pytest.approx(180, abs=5)
    assert take("ada", rate, cost=0).allowed is False
    assert "counted in each process" in caplog.text


def test_not_every_request_waits_for_redis(away: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    rate, tries = Rate.parse("1000/hour"), []

    def fail(keys: list[str], args: list[int]) -> None:
        tries.append(1)
        raise library.TimeoutError("for the test")

    monkeypatch.setattr(limits, "_METER", fail)
    for _ in range(50):
        take("ada", rate)
    assert len(tries) == 1
    monkeypatch.setattr(limits._meters(), "_away_until", time.monotonic() - 0.001)
    for _ in range(50):
        take("ada", rate)
    assert len(tries) == 2


def test_counting_together_resumes(away: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    rate = Rate.parse("5/hour")
    take("ada", rate)
    assert limits._meters()._away_until > time.monotonic()
    monkeypatch.undo()
    assert redis.client().dbsize() == 0
    take("ada", rate)
    assert redis.client().dbsize() == 0  # not yet: the pause is not over
    limits._meters()._away_until = time.monotonic()
    assert take("ada", rate).remaining == 4
    assert redis.client().dbsize() == 1
    assert limits._meters()._away_until == 0


def test_a_server_that_cannot_write_counts_as_away(here: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(keys: list[str], args: list[int]) -> None:
        raise library.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'")

    monkeypatch.setattr(limits, "_METER", full)
    assert take("ada", Rate.parse("1/hour")).allowed
    assert not take("ada", Rate.parse("1/hour")).allowed


def test_local_memory_is_bounded() -> None:
    meters, rate = limits.Meters(), Rate.parse("1/hour")
    for number in range(limits.LOCAL_KEYS + 500):
        assert meters.take_locally(str(number), rate, 1)[0]
        if number == 400:
            assert not meters.take_locally("0", rate, 1)[0]
    assert len(meters._local) == limits.LOCAL_KEYS
    assert meters.take_locally("1", rate, 1)[0]  # long forgotten
    assert not meters.take_locally(str(number), rate, 1)[0]


# -- what clients see -------------------------------------------------------------------------------------------


def test_headers(here: Flask) -> None:
    rate = Rate.parse("2/minute", "log-in")
    first = take("ada", rate)
    assert headers(first) == {"RateLimit-Policy": '"log-in";q=2;w=60', "RateLimit": '"log-in";r=1;t=30'}
    take("ada", rate)
    refused = headers(take("ada", rate))
    assert refused["RateLimit"] == '"log-in";r=0;t=30'
    assert refused["Retry-After"] == "30"


def test_headers_of_several_limits(here: Flask) -> None:
    wide, narrow = Rate.parse("100/hour", "all"), Rate.parse("1/minute", "route")
    take("ada", narrow)
    lines = headers(take("ada", wide), take("ada", Rate.parse("0")), take("ada", narrow))
    assert lines["RateLimit-Policy"] == '"all";q=100;w=3600, "route";q=1;w=60'
    assert lines["RateLimit"] == '"all";r=99;t=36, "route";r=0;t=60'
    assert lines["Retry-After"] == "60"


def test_retry_after_is_never_before_the_window_ends(here: Flask) -> None:
    rate = Rate.parse("7/day")
    for cost in (1, 3, 6, 2, 1):
        verdict = take("ada", rate, cost=cost)
        lines = headers(verdict)
        if not verdict.allowed:
            assert int(lines["Retry-After"]) >= int(lines["RateLimit"].rpartition("t=")[2])
            assert verdict.reset_after >= verdict.next_after


def test_enforcing(here: Flask) -> None:
    rate = Rate.parse("1/minute")
    assert enforce("ada", rate).allowed
    with pytest.raises(Refused) as caught:
        enforce("ada", rate)
    assert caught.value.code is RATE_LIMITED
    assert caught.value.headers["Retry-After"] == "60"
    assert caught.value.headers["RateLimit"] == '"default";r=0;t=60'


@pytest.mark.unit
def test_a_policy_has_a_plain_name() -> None:
    for name in ("", 'a"b', "a b", "é", "x" * 65):
        with pytest.raises(ValueError, match="name"):
            Rate(1, 1, name)
