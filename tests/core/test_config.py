"""Settings: every fault at once, each with its variable, and none with its secret."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

import pytest
from msgspec import Meta

from core.config import BoardSettings, Secret, env, load, read
from core.errors import BootError

pytestmark = pytest.mark.unit

STORES = {"DATABASE_URL": "postgresql://x", "REDIS_URL": "redis://x", "MONGODB_URI": "mongodb://x"}
ADDRESS = {"API_URL": "https://board.example.com"}
STRONG = "Tq8vXn2LbY5rKe7WcZ9hUd3MfPj4sAgE6"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    key: Secret = env("STANDARD_KEY", doc="the provider's key")
    size: Annotated[int, Meta(ge=1, le=9)] = env(default=3)
    mode: Literal["a", "b"] = env(default="a")
    names: tuple[str, ...] = env(default=())
    on: bool = env(default=False)


def test_fields_come_from_prefixed_and_from_named_variables() -> None:
    filled = read(
        Sample,
        {"STANDARD_KEY": "k", "SAMPLE_SIZE": "7", "SAMPLE_NAMES": "x, y", "SAMPLE_ON": "true", "SAMPLE_MODE": " "},
        prefix="sample_",
    )
    assert filled == Sample(key=Secret("k"), size=7, names=("x", "y"), on=True, mode="a")
    assert isinstance(filled.key, Secret)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(BootError) as caught:
        read(Sample, {"SAMPLE_SIZE": "many", "SAMPLE_MODE": "c", "SAMPLE_ON": "perhaps"}, prefix="sample_")
    assert [fault.split()[0] for fault in caught.value.faults] == [
        "STANDARD_KEY",
        "SAMPLE_SIZE",
        "SAMPLE_MODE",
        "SAMPLE_ON",
    ]
    assert "the provider's key" in caught.value.faults[0]


def test_a_secret_shows_itself_nowhere() -> None:
    filled = read(Sample, {"STANDARD_KEY": "hunter2"}, prefix="sample_")
    assert "hunter2" not in repr(filled)
    with pytest.raises(BootError) as caught:
        load({**STORES, "SECRET_KEYS": "short-and-secret"})
    assert "short-and-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"SECRET_KEYS": ""}, "SECRET_KEYS"),
        ({"SECRET_KEYS": "a" * 64}, "SECRET_KEYS"),
        ({"SECRET_KEYS": f"{STRONG},short"}, "SECRET_KEYS"),
        ({"JWT_ACCESS_SECRET": "weak"}, "JWT_ACCESS_SECRET"),
        ({"JWT_PRIVATE_KEYS": "weak"}, "JWT_PRIVATE_KEYS"),
        ({"API_URL": "example.com"}, "API_URL"),
        ({"CLIENT_URL": "https://app.example.com/path"}, "CLIENT_URL"),
        ({"CLIENT_URL": "https://app.example.com:99999"}, "CLIENT_URL"),
        ({"API_URL": ""}, "API_URL"),
        ({"API_URL": "https://"}, "API_URL"),
        ({"API_URL": "https://[::1"}, "API_URL"),
        ({"APP_URL": "https://app.example.com:front"}, "APP_URL"),
        ({"METRICS_TOKEN": "fifteen-letters"}, "METRICS_TOKEN"),
        ({"PORT": "70000"}, "PORT"),
        ({"WEB_CONCURRENCY": "-1"}, "WEB_CONCURRENCY"),
        ({"RATE_LIMIT": "nonsense"}, "RATE_LIMIT"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "notaurl"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://h:port/d"}, "DATABASE_URL"),
        ({"MIGRATION_DATABASE_URL": "notaurl"}, "MIGRATION_DATABASE_URL"),
        ({"REDIS_URL": "http://x"}, "REDIS_URL"),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL"),
        ({"REDIS_URL": "unix://"}, "REDIS_URL"),
        ({"MONGODB_URI": "notaurl"}, "MONGODB_URI"),
        ({"MONGODB_URI": "mongodb://"}, "MONGODB_URI"),
        ({"MONGODB_URI": "mongodb://h,h2:x"}, "MONGODB_URI"),
        ({"MONGODB_URI": "mongodb+srv://h:27017"}, "MONGODB_URI"),
    ],
)
def test_production_does_not_start_with(changes: dict[str, str], variable: str) -> None:
    with pytest.raises(BootError) as caught:
        load({**STORES, **ADDRESS, "SECRET_KEYS": STRONG, **changes})
    [fault] = caught.value.faults
    assert fault.startswith(f"{variable} ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgres://u:p%40ss@h:5432/d?sslmode=require"),
        ("DATABASE_URL", "postgresql+psycopg://u:p@[::1]:5432/d"),
        ("DATABASE_URL", "postgresql:///d?host=/run/postgresql"),
        ("REDIS_URL", "rediss://:p@h:6380"),
        ("REDIS_URL", "redis://?max_connections=3"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("MONGODB_URI", "mongodb+srv://u:p@h/pegboard?retryWrites=true"),
        ("MONGODB_URI", "mongodb://u:p@h1:27017,h2,[::1]:27019/pegboard?replicaSet=a"),
        ("MONGODB_URI", "mongodb://%2Frun%2Fmongodb.sock/pegboard"),
        ("METRICS_TOKEN", "sixteen-letters."),
        ("RATE_LIMIT", "0"),
        ("API_URL", "http://127.0.0.1:8000"),
    ],
)
def test_production_starts_with(variable: str, value: str) -> None:
    load({**STORES, **ADDRESS, "SECRET_KEYS": STRONG, variable: value})


def test_production_is_the_default_and_starts_when_all_is_there() -> None:
    assert load({**STORES, **ADDRESS, "SECRET_KEYS": STRONG}).app_env == "production"


def faults(**environ: str) -> list[str]:
    with pytest.raises(BootError) as caught:
        load(environ)
    return list(caught.value.faults)


def test_what_is_missing_and_what_is_weak_are_told_together() -> None:
    told = faults(APP_ENV="production", METRICS_TOKEN="letmein", PORT="x")
    assert [fault.split()[0] for fault in told] == [
        "PORT",
        "DATABASE_URL",
        "REDIS_URL",
        "MONGODB_URI",
        "SECRET_KEYS",
        "METRICS_TOKEN",
        "API_URL",
    ]


def test_a_field_is_told_once_and_nothing_is_said_of_values_that_were_made_up() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Pair:
        low: int = env(doc="the lower one")
        high: int = env(default=9)
        word: str = env(default="")

        def check(self) -> Iterator[str]:
            if not 0 < self.low < self.high:
                yield "PAIR_LOW must lie below PAIR_HIGH"
            if not self.word:
                yield "PAIR_WORD is needed"
            _ = 1 / self.low

    for low in ("", "x"):
        with pytest.raises(BootError) as caught:
            read(Pair, {"PAIR_LOW": low}, prefix="pair_")
        assert [fault.split()[0] for fault in caught.value.faults] == ["PAIR_LOW", "PAIR_WORD"]
    with pytest.raises(ZeroDivisionError):
        read(Pair, {"PAIR_LOW": "0"}, prefix="pair_")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LOG_LEVEL", "loud", "'loud' is not acceptable: expected DEBUG, INFO, WARNING or ERROR"),
        ("APP_ENV", "test", "'test' is not acceptable: expected development or production"),
        ("REDIS_TLS_VERIFY", "maybe", "'maybe' is not acceptable: expected true or false"),
        ("PORT", "x", "'x' is not acceptable: expected a whole number from 0 to 65535"),
        ("MAX_BODY_BYTES", "1k", "'1k' is not acceptable: expected a whole number of at least 1024"),
        ("RUN_INSIDE_WEB", "web", "'web' is not acceptable: expected worker or scheduler; several with commas between"),
        (
            "RATE_LIMIT",
            "-1/day",
            "'-1/day' is not acceptable: expected such as 10/minute, 100/15 minutes, or 0 for no limit",
        ),
    ],
)
def test_it_says_what_would_be_acceptable(variable: str, value: str, words: str) -> None:
    environ = {**STORES, **ADDRESS, "SECRET_KEYS": STRONG, variable: value}
    assert faults(**environ) == [f"{variable} {words}"]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Literal["a", "b"] | None, "expected a or b"),
        (Literal["only"], "expected only"),
        (Colour, "expected red or blue"),
        (tuple[int, ...], "expected a whole number; several with commas between"),
        (Annotated[int, Meta(le=9)] | None, "expected a whole number of at most 9"),
        (Annotated[float, Meta(gt=0, lt=1)], "expected a number above 0, below 1"),
        (
            Annotated[tuple[bool, ...], Meta(max_length=9)],
            "expected true or false; several with commas between and at most 9",
        ),
        (Annotated[str, Meta(max_length=1)], "Expected `str` of length <= 1"),
    ],
)
def test_a_plugins_values_are_told_in_plain_words_too(hint: object, words: str) -> None:
    wild = dataclasses.make_dataclass("Wild", [("field", hint, env(default=None))])
    with pytest.raises(BootError) as caught:
        read(wild, {"WILD_FIELD": "https://alice:hunter2@h"}, prefix="wild_")
    assert caught.value.faults == (f"WILD_FIELD 'https://…@h' is not acceptable: {words}",)


def test_a_secret_of_a_strange_kind_is_not_quoted_either() -> None:
    class Even(Secret):
        def __new__(cls, text: str) -> Self:
            if len(text) % 2:
                raise ValueError(f"{text} is odd")
            return super().__new__(cls, text)

    odd = dataclasses.make_dataclass("Odd", [("key", Even, env(default=None))])
    with pytest.raises(BootError) as caught:
        read(odd, {"ODD_KEY": "hunter2"}, prefix="odd_")
    assert caught.value.faults == ("ODD_KEY is not acceptable; it is not shown here",)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "mysql://alice:hunter2@h/d"),
        ("DATABASE_URL", "postgresql://alice:hunter2/x@h/d"),
        ("MIGRATION_DATABASE_URL", "postgresql://alice:hunter2#x@h/d"),
        ("DATABASE_URL", "alice:hunter2@h"),
        ("REDIS_URL", "redis://:hunter2@h:port"),
        ("REDIS_URL", "redis://[:hunter2@h"),
        ("MONGODB_URI", "mongodb://alice:hunter2:x@h"),
        ("API_URL", "ftp://alice:hunter2@h"),
        ("API_URL", "https://alice:hunter2/x@h"),
        ("CLIENT_URL", "https://alice:hunter2?x@h"),
        ("RATE_LIMIT", "redis://:hunter2@h"),
        ("PORT", "tcp://alice:hunter2@h"),
        ("METRICS_TOKEN", "hunter2"),
        ("SECRET_KEYS", "hunter2"),
    ],
)
def test_a_password_shows_itself_nowhere(variable: str, value: str) -> None:
    told = faults(**{**STORES, **ADDRESS, "SECRET_KEYS": STRONG, variable: value})
    assert told and all(fault.startswith(f"{variable} ") for fault in told)
    assert not any("hunter2" in fault for fault in told)


def test_development_makes_one_secret_however_many_processes_start(tmp_path: Path) -> None:
    environ = {**STORES, "APP_ENV": "development", "INSTANCE_DIR": str(tmp_path)}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        keys = {settings.secret_keys for settings in pool.map(load, [environ] * 32)}
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_every_setting_says_what_it_is() -> None:
    assert [field.name for field in dataclasses.fields(BoardSettings) if not field.metadata.get("doc")] == []
