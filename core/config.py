"""Settings: typed classes filled once from the environment, with every fault reported at once.

The board's own are ``BoardSettings``; a plugin declares its own frozen dataclass in its manifest and gets it
filled from ``<PLUGIN>_<FIELD>``, or from the variable that ``env()`` names (``core.settings_reading``).
"""

from __future__ import annotations

import dataclasses
import secrets
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from flask import current_app
from msgspec import Meta

from core import private_keys, settings_forms as forms
from core.errors import BootError
from core.settings_reading import Secret, env, gather, read, variables

__all__ = [
    "MIN_SECRET_LENGTH",
    "SHARED_VARIABLES",
    "BoardSettings",
    "Secret",
    "complete",
    "env",
    "load",
    "read",
    "settings",
    "survey",
    "variables",
]

MIN_SECRET_LENGTH = 32
MIN_TOKEN_LENGTH = 16
QUEUE = r"^[a-z][a-z0-9-]{0,31}(:[1-9][0-9]{0,2})?$"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoardSettings:
    """What the board itself and more than one plugin need. Plugins read shared values here, not the environment."""

    app_env: Literal["development", "production"] = env(default="production", doc="development or production")
    secret_keys: tuple[Secret, ...] = env(default=(), doc="comma-separated; the first signs, the others still verify")
    plugins: tuple[str, ...] = env(default=(), doc="plugins to switch on; unset means all that are installed")
    plugins_lenient: bool = env(default=False, doc="start without plugins whose settings or requirements are missing")
    instance_dir: str = env(default="instance", doc="where a development board keeps files")

    api_url: str = env(default="http://127.0.0.1:8000", doc="the public address of this board")
    app_url: str = env(default="", doc="the front end that mailed links open; empty means this board")
    client_url: tuple[str, ...] = env(default=(), doc="origins that browsers may call from, comma-separated")
    base_domain: str = env(default="", doc="tenants are its subdomains; empty: hosts do not choose the tenant")
    trusted_proxies: Annotated[int, Meta(ge=0, le=10)] = env(default=0, doc="how many proxies stand in front")
    port: Annotated[int, Meta(ge=0, le=65535)] = env(default=8000, doc="where the web process listens")
    web_concurrency: Annotated[int, Meta(ge=1, le=64)] = env(default=1, doc="web worker processes")
    run_inside_web: tuple[Literal["worker", "scheduler"], ...] = env(
        default=(), doc="worker, scheduler: run inside the web process, where a plan has one process only"
    )
    max_body_bytes: Annotated[int, Meta(ge=1024)] = env(default=1024 * 1024, doc="largest JSON body")
    rate_limit: str = env(default="600/minute", doc="requests per caller across all routes; 0 switches it off")
    metrics_token: Secret | None = env(default=None, doc="bearer token for /metrics; without it only loopback reads it")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = env(
        default="INFO", doc="least severe line that is logged"
    )

    database_url: str = env(doc="PostgreSQL, e.g. postgresql://user:password@host:5432/name")
    migration_database_url: str = env(default="", doc="the tables' owner, when the app's own role owns nothing")
    database_pool: Annotated[int, Meta(ge=1, le=200)] = env(default=10, doc="connections a process, at most")
    slow_query_ms: Annotated[int, Meta(ge=0)] = env(
        default=500, doc="milliseconds after which a statement is logged with its plan; 0: never"
    )
    redis_url: str = env(doc="Redis or Valkey, e.g. redis://host:6379/0 or rediss://…")
    redis_tls_verify: bool = env(default=True, doc="check the certificate of a rediss:// server")
    mongodb_uri: str = env(doc="MongoDB, e.g. mongodb://host:27017/pegboard")
    worker_concurrency: Annotated[int, Meta(ge=1, le=200)] = env(
        default=10, doc="jobs that a worker runs at once, of each queue for which nothing else is said"
    )
    worker_queues: tuple[Annotated[str, Meta(pattern=QUEUE)], ...] = env(
        default=(), doc="queues that a worker consumes, with how many jobs of each at once: default:10,mail:5"
    )

    queue_limit: Annotated[int, Meta(ge=100, le=100_000_000)] = env(
        default=100_000, doc="jobs of a tenant that may wait on a queue in Redis; those beyond stay in PostgreSQL"
    )

    jwt_access_secret: Secret | None = env(default=None, doc="signs access tokens; unset: derived from SECRET_KEYS")
    jwt_private_keys: Secret | None = env(
        default=None, doc="PEM private keys, one after another; the first signs access tokens, the others still verify"
    )
    email_from_name: str = env(default="Pegboard", doc="sender's name")
    email_from_address: str = env(default="no-reply@example.com", doc="sender's address")
    support_email: str = env(default="", doc="where mail tells people to write")
    admin_email: str = env(default="", doc="who is mailed how the board fared")

    @property
    def development(self) -> bool:
        return self.app_env == "development"

    @property
    def front_url(self) -> str:
        """Where mailed links point: the front end, or this board's own pages."""
        return (self.app_url or self.api_url).rstrip("/")

    def check(self) -> Iterator[str]:
        """Faults that only show in a value's form, or across fields."""
        for name, value in (("API_URL", self.api_url), ("APP_URL", self.app_url)):
            if value and (why := forms.address(value)):
                yield f"{name} {forms.shown(value)} is not acceptable: {why}"
        for value in self.client_url:
            if why := forms.origin(value):
                yield f"CLIENT_URL {forms.shown(value)} is not acceptable: {why}"
        for name in forms.STORES:
            if (value := getattr(self, name)) and (why := forms.store(name, value)):
                yield f"{name.upper()} is not acceptable: {why}"
        if why := forms.rate(self.rate_limit):
            yield f"RATE_LIMIT {forms.shown(self.rate_limit)} is not acceptable: {why}"
        if self.jwt_private_keys:
            for why in private_keys.faults(self.jwt_private_keys):
                yield f"JWT_PRIVATE_KEYS is not acceptable: {why}"
        if self.development:
            return
        if not self.secret_keys:
            yield f"SECRET_KEYS is not set: production needs one of at least {MIN_SECRET_LENGTH} random characters"
        named = [("SECRET_KEYS", key) for key in self.secret_keys]
        if self.jwt_access_secret:
            named.append(("JWT_ACCESS_SECRET", self.jwt_access_secret))
        for variable, value in named:
            if len(value) < MIN_SECRET_LENGTH or len(set(value)) < 10:
                yield f"{variable} holds a weak secret: use at least {MIN_SECRET_LENGTH} random characters"
        if self.metrics_token and len(self.metrics_token) < MIN_TOKEN_LENGTH:
            yield f"METRICS_TOKEN holds a weak secret: use at least {MIN_TOKEN_LENGTH} random characters"


SHARED_VARIABLES = frozenset(variable for _, variable in variables(BoardSettings))


def load(environ: Mapping[str, str]) -> BoardSettings:
    """The board's settings. Raises ``BootError`` with all faults."""
    settings, faults = survey(environ)
    if faults:
        raise BootError(*faults)
    return complete(settings)


def survey(environ: Mapping[str, str]) -> tuple[BoardSettings, list[str]]:
    """The settings as far as they can be read, and every fault. Where there is one, no board can run on them."""
    settings, faults = gather(BoardSettings, environ)
    assert settings is not None
    # Its default is of use on a developer's machine alone, and once it is filled in it looks like any other.
    if not settings.development and not environ.get("API_URL", "").strip():
        faults.append("API_URL is not set: production needs its public address, such as https://board.example.com")
    return settings, faults


def complete(settings: BoardSettings) -> BoardSettings:
    """In development a missing secret is made once and kept in the instance folder."""
    if settings.secret_keys:
        return settings
    return dataclasses.replace(settings, secret_keys=(_kept_secret(Path(settings.instance_dir)),))


def _kept_secret(folder: Path) -> Secret:
    """Read or make the development secret; several processes may start at once, and all must get the same one."""
    path = folder / "secret_key"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".secret_key.{secrets.token_hex(8)}"
    fresh.touch(mode=0o600)
    fresh.write_text(secrets.token_urlsafe(48))
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return Secret(path.read_text().strip())


def settings() -> BoardSettings:
    """The settings of the board that is running."""
    return typing.cast(BoardSettings, current_app.extensions["pegboard.settings"])
