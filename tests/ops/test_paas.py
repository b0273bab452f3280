"""What platforms read (Procfile, app.json, Dockerfile, compose.yaml) held against the board, and run as far as it goes.

No Docker engine is needed: the files are parsed; the scripts inside compose.yaml run on the test servers' programs;
``tests/soak/test_image.py`` does the Dockerfile's steps in a fresh virtual environment.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from core.config import SHARED_VARIABLES, load
from core.ops import postgres
from core.ops.processes import COMMANDS, ROOT
from core.ops.servers import Valkey, free_port
from core.ops.testbed import TestServers, with_path

STORES = ("postgres", "mongo", "redis")
BOARD = ("release", "web", "worker", "scheduler")
INTERPOLATED = re.compile(r"(?<!\$)\$\{(\w+)(:-|:\?)?([^}]*)\}")


def read(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read("compose.yaml"))
    return found


def procfile() -> dict[str, list[str]]:
    lines = (line.partition(":") for line in read("Procfile").splitlines())
    return {name: shlex.split(command) for name, _, command in lines}


def settings_named_in_example() -> set[str]:
    return set(re.findall(r"^# ([A-Z_]+)=", read(".env.example"), re.MULTILINE))


# -- Procfile, app.json, .python-version --------------------------------------------------------------------------


@pytest.mark.unit
def test_each_line_of_the_procfile_names_something_that_runs() -> None:
    lines = procfile()
    assert set(lines) == {"release", "web", "worker", "scheduler"}
    assert lines.pop("release") == ["flask", "db", "upgrade"]
    for name, (program, flag, module) in lines.items():
        assert (program, flag) == ("python", "-m"), name
        assert importlib.util.find_spec(module), name
    for name in ("worker", "scheduler"):
        assert tuple(lines[name][1:]) == COMMANDS[name]


@pytest.mark.unit
def test_app_json_names_settings_that_there_are_and_every_process() -> None:
    app = json.loads(read("app.json"))
    assert set(app["env"]) <= settings_named_in_example()
    assert set(app["formation"]) == set(procfile()) - {"release"}
    assert app["env"]["SECRET_KEYS"] == {**app["env"]["SECRET_KEYS"], "generator": "secret"}, "never a value of ours"
    # Together with what the platform and whoever deploys add, it is an environment that the board accepts.
    given = {name: about["value"] for name, about in app["env"].items() if "value" in about}
    given |= {"SECRET_KEYS": os.urandom(32).hex(), "API_URL": "https://board.example.com", "PORT": "31337"}
    given |= {
        "DATABASE_URL": "postgres://u:p@h/d",
        "REDIS_URL": "rediss://:p@h:1",
        "MONGODB_URI": "mongodb://h/pegboard",
    }
    settings = load(given)
    assert not settings.redis_tls_verify and settings.trusted_proxies == 1 and not settings.development


@pytest.mark.unit
def test_one_python_everywhere() -> None:
    version = read(".python-version").strip()
    assert re.fullmatch(r"3\.\d+", version), "a minor version: platforms add the newest patch"
    assert f'"Programming Language :: Python :: {version}"' in read("pyproject.toml")
    assert set(re.findall(r"^FROM python:(\S+?)-slim", read("Dockerfile"), re.MULTILINE)) == {version}


@pytest.mark.unit
@pytest.mark.parametrize(("app_env", "host"), [("production", "0.0.0.0"), ("development", "127.0.0.1")])
def test_web_listens_on_port_everywhere_only_in_production(
    app_env: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"APP_ENV": app_env, "PORT": "31337", "WEB_CONCURRENCY": "3", "SECRET_KEYS": os.urandom(32).hex()}
    told |= {
        "API_URL": "https://board.example.com",
        "DATABASE_URL": "postgres://u:p@h/d",
        "REDIS_URL": "redis://h",
        "MONGODB_URI": "mongodb://h/pegboard",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    script = f"import json, runpy; c = runpy.run_path({str(ROOT / 'gunicorn.conf.py')!r}); "
    script += "print(json.dumps([c['bind'], c['workers'], c['errorlog'], c['graceful_timeout']]))"
    told_back = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    bind, workers, errorlog, patience = json.loads(told_back.stdout)
    assert (bind, workers, errorlog) == (f"{host}:31337", 3, "-")
    assert patience < 25


# -- the image ----------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", read("Dockerfile"), flags=re.MULTILINE))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


@pytest.mark.unit
def test_the_image_installs_the_lock_by_hash_and_runs_as_nobody_special() -> None:
    steps = instructions()
    pip = [value for word, value in steps if word == "RUN" and "pip install" in value]
    assert len(pip) == 1
    assert {"--require-hashes", "requirements.txt"} <= set(pip[0].split())
    user = [value for word, value in steps if word == "USER"]
    assert user == ["10001"]
    assert json.loads(next(value for word, value in steps if word == "CMD")) == procfile()["web"]
    named = dict(pair.split("=", 1) for word, value in steps if word == "ENV" for pair in value.split())
    ours = {name for name in named if name in SHARED_VARIABLES}
    assert ours == {"APP_ENV", "INSTANCE_DIR"} and named["APP_ENV"] == "production"
    assert not any("SECRET" in name or "PASSWORD" in name for name in named)


@pytest.mark.unit
def test_the_image_holds_what_the_board_needs_and_nothing_private() -> None:
    copied = {source for word, value in instructions() if word == "COPY" and "--from" not in value
              for source in value.split()[:-1]}  # fmt: skip
    sent = [line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")]
    assert read(".dockerignore").splitlines()[1] == "*", "nothing is sent unless it is named"
    assert copied == set(sent)
    assert all((ROOT / source).exists() for source in copied)
    packages = set(
        re.search(r"include = \[(.*)\]", read("pyproject.toml"))[1].replace('"', "").replace("*", "").split(", ")
    )  # type: ignore[index]
    assert packages <= copied, "every package that an installation would hold"
    for private in (".env", "instance", ".git", "tests", ".venv"):
        assert not any(fnmatch(private, pattern) for pattern in sent)


# -- compose ------------------------------------------------------------------------------------------------------


@pytest.mark.unit
def test_compose_publishes_web_alone_and_only_here(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {*STORES, *BOARD}
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:8000:8000"]}
    for name in STORES:
        assert services[name]["networks"] == ["stores"]
        assert "network_mode" not in services[name] and "expose" not in services[name]
    assert compose["networks"]["stores"] == {"internal": True}


@pytest.mark.unit
def test_compose_starts_in_order_and_says_how_everything_is(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in (*STORES, "web"):
        assert services[name]["healthcheck"]["test"], name
    assert services["release"]["depends_on"] == {name: {"condition": "service_healthy"} for name in STORES}
    for name in ("web", "worker", "scheduler"):
        assert services[name]["depends_on"] == {"release": {"condition": "service_completed_successfully"}}
    lines = procfile()
    for name in ("release", "worker", "scheduler"):
        assert services[name]["command"] == lines[name], "as the Procfile says"
    assert "command" not in services["web"], "the image's own"


@pytest.mark.unit
def test_compose_lets_the_board_do_no_more_than_it_needs(compose: dict[str, Any]) -> None:
    for name in BOARD:
        service = compose["services"][name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and "user" not in service
        assert int(service["stop_grace_period"].removesuffix("s")) > 26, "core.serve's GRACE"


@pytest.mark.unit
def test_no_password_has_a_default_and_every_variable_exists(compose: dict[str, Any]) -> None:
    text = read("compose.yaml")
    needed = {name for name, how, _ in INTERPOLATED.findall(text) if how == ":?"}
    optional = {name for name, how, _ in INTERPOLATED.findall(text) if how == ":-"}
    assert needed == {"SECRET_KEYS", "POSTGRES_PASSWORD", "DATABASE_PASSWORD", "MONGO_ROOT_PASSWORD", "MONGO_PASSWORD",
                      "REDIS_PASSWORD"}  # fmt: skip
    assert not [name for name, how, _ in INTERPOLATED.findall(text) if not how], "each says whether it may be missing"
    assert optional <= settings_named_in_example()
    assert set(compose["x-board"]["environment"]) <= SHARED_VARIABLES
    # The recipe at the top makes exactly those.
    recipe = re.search(r"for name in (.*); do", text)
    assert recipe and set(recipe[1].split()) == needed

    filled = {name: f"{name.lower()}-{'0123456789abcdef' * 2}" for name in needed}
    environ = {
        name: INTERPOLATED.sub(lambda m: filled.get(m[1], m[3] if m[2] == ":-" else ""), value)
        for name, value in compose["x-board"]["environment"].items()
    }
    settings = load(environ)
    assert settings.database_url.endswith(f"{filled['DATABASE_PASSWORD']}@postgres:5432/board")
    assert not settings.development


def unescaped(text: str) -> str:
    """As compose hands it on."""
    return text.replace("$$", "$")


def test_the_role_that_compose_makes_is_a_plain_one(
    compose: dict[str, Any], servers: TestServers, superuser: psycopg.Connection[Any]
) -> None:
    """Its script, run by the PostgreSQL of the tests; then every migration as that role."""
    script = unescaped(compose["configs"]["postgres-role"]["content"])
    address = psycopg.conninfo.conninfo_to_dict(servers.superuser_url)
    word = os.urandom(12).hex() + "'$x"
    environ = {
        "PATH": f"{postgres._binaries(None) / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "POSTGRES_USER": str(address["user"]),
        "BOARD_PASSWORD": word,
        "PGHOST": str(address["host"]),
        "PGPORT": str(address["port"]),
        "PGPASSWORD": str(address["password"]),
    }
    try:
        subprocess.run(["/bin/sh", "-c", script], env=environ, check=True, capture_output=True)
        row = superuser.execute("select rolsuper, rolbypassrls, rolcreatedb from pg_roles where rolname = 'board'")
        assert row.fetchone() == (False, False, False)
        url = f"postgresql://board:{word.replace('$', '%24')}@{address['host']}:{address['port']}/board"
        upgrade = [sys.executable, "-m", "flask", "db", "upgrade"]
        done = subprocess.run(
            upgrade, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    finally:
        with psycopg.connect(with_path(servers.superuser_url, "postgres"), autocommit=True) as admin:
            admin.execute("drop database if exists board with (force)")
            admin.execute("drop role if exists board")


def test_the_redis_that_compose_starts_keeps_what_it_is_given(compose: dict[str, Any], tmp_path: Path) -> None:
    import redis

    shell, flag, script = compose["services"]["redis"]["command"]
    port, word = free_port(), os.urandom(16).hex()
    program = Valkey(tmp_path, port, "", durable=False).command()[0]
    script = unescaped(script).replace("valkey-server", shlex.quote(program)).replace("dir /data", f'dir "{tmp_path}"')
    script = script.replace("requirepass", f"bind 127.0.0.1\nport {port}\nrequirepass")
    process = subprocess.Popen([shell, flag, script], env={"REDISCLI_AUTH": word}, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, password=word) as client:
            deadline = time.monotonic() + 10
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            asked = {name: client.config_get(name)[name] for name in ("appendonly", "maxmemory-policy", "requirepass")}
            assert asked == {"appendonly": "yes", "maxmemory-policy": "noeviction", "requirepass": word}
        assert word not in Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.terminate()
        assert process.wait(10) == 0, "the server itself hears SIGTERM, no shell stands before it"


@pytest.mark.unit
def test_the_board_finds_its_own_plugins_where_nothing_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buildpacks and the image install requirements only; then pyproject.toml says what entry points would."""
    from importlib.metadata import PackageNotFoundError, entry_points

    from core.registry import in_place
    from core.registry.discovery import GROUP

    assert in_place.points(GROUP) == [], "an installation has them already"

    def none(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(in_place, "distribution", none)
    declared = {(p.name, p.value) for p in entry_points(group=GROUP) if p.dist and p.dist.name == "pegboard"}
    assert {(point.name, point.value) for point in in_place.points(GROUP)} == declared
