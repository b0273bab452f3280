"""Notices reach every process, and what is cached is never older than a notice, or a second."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from flask import Flask
from redis_cable import Cable, bare, until

from core.data import redis
from core.data.redis import cache, notices, pool


@pytest.fixture
def cable(servers: Any) -> Iterator[Cable]:
    with Cable(servers.redis_url) as laid:
        yield laid


@pytest.fixture
def here(servers: Any) -> Iterator[Flask]:
    app = bare(servers.redis_url)
    with app.app_context():
        redis.client().flushdb()
        redis.clear_caches()
        yield app


def listening(app: Flask) -> None:
    with app.app_context():
        notices.listen(pool.here())
        until(redis.notices_live)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    keys: list[str] = []
    redis.on_notice("test.heard", keys.append)
    yield keys
    notices._listeners.clear()


def test_a_notice_reaches_every_process_once(here: Flask, cable: Cable, heard: list[str]) -> None:
    away = bare(cable.url())
    listening(here)
    listening(away)
    redis.notify_all("test.heard", "one")
    assert heard[0] == "one"  # this process, at once
    until(lambda: len(heard) == 2)  # the other, by Redis
    with away.app_context():
        redis.notify_all("test.heard", "two")
    until(lambda: len(heard) == 4)
    redis.notify_all("test.other", "nobody listens")
    assert heard == ["one", "one", "two", "two"]


def test_another_database_of_the_same_server_hears_nothing(here: Flask, servers: Any, heard: list[str]) -> None:
    # Not the next one: that is of the tests which run beside these.
    number = int(urlsplit(servers.redis_url).path.strip("/") or 0)
    other = bare(urlunsplit(urlsplit(servers.redis_url)._replace(path=f"/{(number + 8) % 16}")))
    listening(here)
    listening(other)
    with other.app_context():
        redis.notify_all("test.heard", "theirs")
    redis.notify_all("test.heard", "ours")
    assert heard == ["theirs", "ours"]  # each told by itself alone, and the order shows that nothing followed
    redis.client().publish(notices.channel(pool.here()), "not a notice")
    assert redis.notices_live()


def test_a_failing_listener_stops_nobody(here: Flask, heard: list[str]) -> None:
    notices._listeners["test.heard"].insert(0, lambda key: 1 / 0)  # type: ignore[arg-type]
    redis.notify_all("test.heard", "still")
    assert heard == ["still"]


def test_a_change_anywhere_drops_the_entry_everywhere(here: Flask, cable: Cable) -> None:
    away, roles = bare(cable.url()), redis.NoticedCache[int]("test.roles")
    listening(here)
    listening(away)
    counter = iter(range(100))
    for app in (here, away):
        with app.app_context():
            first = roles.get("ada", lambda: next(counter))
            assert roles.get("ada", lambda: next(counter)) == first
            roles.get("bob", lambda: -1)
    with away.app_context():
        roles.changed("ada")
        assert roles.get("ada", lambda: next(counter)) == 2
    until(lambda: roles.get("ada", lambda: 50) == 50)
    assert roles.get("bob", lambda: 0) == -1
    with away.app_context():
        roles.changed()
    until(lambda: roles.get("bob", lambda: 60) == 60)


def test_while_redis_is_away_entries_live_one_second_and_then_all_are_dropped(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (cache.DEAF_TTL, notices.LIVE_WITHIN) == (1.0, 1.0), "otherwise an entry lives for a minute"
    monkeypatch.setattr(notices, "LIVE_WITHIN", 60)  # who hears that the line is cut does not wait for silence
    app, roles = bare(cable.url()), redis.NoticedCache[str]("test.away")
    listening(app)
    with app.app_context():
        assert roles.get("ada", lambda: "before") == "before"
        cable.cut()
        until(lambda: not redis.notices_live())
        until(lambda: roles.get("ada", lambda: "during") == "during")
        roles.get("bob", lambda: "during")
        cable.mend()
        until(redis.notices_live)
        assert roles.get("bob", lambda: "after") == "after"
        assert roles.get("ada", lambda: "after") == "after"


def test_a_server_that_falls_silent_counts_as_away(cable: Cable) -> None:
    app, roles = bare(cable.url()), redis.NoticedCache[str]("test.silent")
    listening(app)
    with app.app_context():
        cable.frozen = True
        roles.get("ada", lambda: "before")
        until(lambda: roles.get("ada", lambda: "looked again") == "looked again")
        cable.frozen = False
        until(redis.notices_live)


def test_notices_of_a_time_without_redis_arrive_later(here: Flask, cable: Cable, heard: list[str]) -> None:
    away = bare(cable.url())
    listening(here)
    with away.app_context():
        cable.cut()
        redis.notify_all("test.heard", "one")
        redis.notify_all("test.heard", "two")
        assert heard == ["one", "two"]
        cable.mend()
    until(lambda: heard == ["one", "two", "one", "two"])


def test_too_many_of_them_become_one_that_says_everything(here: Flask, cable: Cable) -> None:
    roles, away = redis.NoticedCache[int]("test.flood"), bare(cable.url())
    listening(here)
    roles.get("ada", lambda: 1)
    with away.app_context():
        cable.cut()
        for number in range(notices.UNSENT + 5):
            redis.notify_all("test.unknown", str(number))
        assert len(pool.here().subscriptions[0].unsent) < 10
        cable.mend()
    until(lambda: roles.get("ada", lambda: 2) == 2)


def test_lost_is_called_when_notices_may_have_been_missed(cable: Cable) -> None:
    app, times = bare(cable.url()), []
    redis.on_notice("test.lost", lambda key: None, lost=lambda: times.append(1))
    try:
        listening(app)
        before = len(times)
        cable.cut()
        cable.mend()
        until(lambda: len(times) > before)
    finally:
        notices._when_lost.clear()
        notices._listeners.clear()


def test_a_value_loaded_across_a_notice_is_not_kept(here: Flask) -> None:
    roles = redis.NoticedCache[str]("test.race")
    listening(here)

    def load() -> str:
        roles.changed("ada")
        return "old"

    assert roles.get("ada", load) == "old"
    assert roles.get("ada", lambda: "new") == "new"
    assert not roles._loading


def test_a_value_is_kept_although_somebody_else_has_begun_to_load_it_since(here: Flask) -> None:
    roles = redis.NoticedCache[str]("test.herd")
    listening(here)
    begun, go = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(10)
        return "late"

    def other() -> str:
        with here.app_context():
            return roles.get("ada", slow)

    with ThreadPoolExecutor(1) as beside:

        def load() -> str:
            beside.submit(other)
            assert begun.wait(10)
            return "early"

        assert roles.get("ada", load) == "early"
        assert roles.get("ada", lambda: "a third time") == "early"
        go.set()
    assert roles.get("ada", lambda: "a third time") == "early"
    assert not roles._loading


def test_what_load_raises_is_not_kept(here: Flask) -> None:
    roles = redis.NoticedCache[int]("test.raise")
    with pytest.raises(ZeroDivisionError):
        roles.get("ada", lambda: 1 // 0)
    assert roles.get("ada", lambda: 3) == 3
    assert not roles._loading


def test_a_cache_is_bounded_and_keeps_what_is_used(here: Flask) -> None:
    roles = redis.NoticedCache[int]("test.size", size=10)
    listening(here)
    for number in range(100):
        roles.get(str(number), lambda: number)  # noqa: B023
        assert roles.get("0", lambda: -1) == 0
    assert len(roles._entries) == 10


def test_a_cache_under_threads(here: Flask) -> None:
    roles = redis.NoticedCache[int]("test.threads", size=8)
    listening(here)

    def use(number: int) -> None:
        with here.app_context():
            for turn in range(300):
                name = str((turn * number) % 16)
                assert roles.get(name, lambda: int(name)) == int(name)  # noqa: B023
                if turn % 50 == 0:
                    roles.changed(name)

    with ThreadPoolExecutor(8) as many:
        list(many.map(use, range(1, 9)))
    assert len(roles._entries) <= 8
    assert not roles._loading


def test_a_ttl_of_its_own(here: Flask) -> None:
    roles = redis.NoticedCache[int]("test.ttl", ttl=0.05)
    listening(here)
    assert roles.get("ada", lambda: 1) == 1
    until(lambda: roles.get("ada", lambda: 2) == 2)
