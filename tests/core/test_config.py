"""Settings: every fault at once, each with its variable, and none with its secret."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from core.config import BoardSettings, Secret, env, load, read
from core.errors import BootError

pytestmark = pytest.mark.unit

STORES = {"DATABASE_URL": "postgresql://x", "REDIS_URL": "redis://x", "MONGODB_URI": "mongodb://x"}
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
        ({"API_URL": "example.com"}, "API_URL"),
        ({"CLIENT_URL": "https://app.example.com/path"}, "CLIENT_URL"),
        ({"CLIENT_URL": "https://app.example.com:99999"}, "CLIENT_URL"),
        ({"PORT": "70000"}, "PORT"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
    ],
)
def test_production_does_not_start_with(changes: dict[str, str], variable: str) -> None:
    with pytest.raises(BootError, match=variable):
        load({**STORES, "SECRET_KEYS": STRONG, **changes})


def test_production_is_the_default_and_starts_when_all_is_there() -> None:
    assert load({**STORES, "SECRET_KEYS": STRONG}).app_env == "production"


def test_development_makes_one_secret_however_many_processes_start(tmp_path: Path) -> None:
    environ = {**STORES, "APP_ENV": "development", "INSTANCE_DIR": str(tmp_path)}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        keys = {settings.secret_keys for settings in pool.map(load, [environ] * 32)}
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_every_setting_says_what_it_is() -> None:
    assert [field.name for field in dataclasses.fields(BoardSettings) if not field.metadata.get("doc")] == []
