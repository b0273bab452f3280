"""Settings: typed classes filled once from the environment, with every fault reported at once.

The board's own are ``BoardSettings``; a plugin declares its own frozen dataclass in its manifest and gets it
filled from ``<PLUGIN>_<FIELD>``, or from the variable that ``env()`` names.
"""

from __future__ import annotations

import dataclasses
import secrets
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from flask import current_app
from msgspec import Meta

from core.errors import BootError

S = TypeVar("S")

MIN_SECRET_LENGTH = 32


class Secret(str):
    """A string that does not show itself in logs, reprs or tracebacks."""

    def __repr__(self) -> str:
        return "Secret(…)"


def env(name: str | None = None, *, default: Any = dataclasses.MISSING, doc: str = "") -> Any:
    """A settings field with a documented meaning, and a variable name of its own where a standard one exists."""
    return dataclasses.field(default=default, metadata={"env": name, "doc": doc})


def variables(cls: type, prefix: str = "") -> Iterator[tuple[dataclasses.Field[Any], str]]:
    """Each field of a settings class with the environment variable that fills it."""
    for field in dataclasses.fields(cls):
        yield field, field.metadata.get("env") or f"{prefix}{field.name}".upper()


def read(cls: type[S], environ: Mapping[str, str], prefix: str = "") -> S:
    """Fill ``cls`` from ``environ``; an empty variable counts as unset. Raises ``BootError`` with all faults."""
    hints = typing.get_type_hints(cls, include_extras=True)
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field, variable in variables(cls, prefix):
        text = environ.get(variable, "").strip()
        if not text:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                faults.append(f"{variable} is not set: {field.metadata.get('doc') or 'it is required'}")
            continue
        try:
            values[field.name] = _parse(text, hints[field.name])
        except msgspec.ValidationError as exc:
            shown = "" if _is_secret(hints[field.name]) else f" {text!r}"
            faults.append(f"{variable}{shown} is not acceptable: {exc}")
    if not faults:
        settings = cls(**values)
        check = getattr(settings, "check", None)
        faults.extend(check() if check else ())
        if not faults:
            return settings
    raise BootError(*faults)


def _parse(text: str, hint: Any) -> Any:
    value: Any = text
    if _origin(hint) is tuple:
        value = [part.strip() for part in text.split(",") if part.strip()]
    return msgspec.convert(value, hint, strict=False, dec_hook=lambda kind, given: kind(given))


def _origin(hint: Any) -> Any:
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    return typing.get_origin(hint)


def _is_secret(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple, Annotated):
        return any(_is_secret(part) for part in typing.get_args(hint))
    return isinstance(hint, type) and issubclass(hint, Secret)


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
    max_body_bytes: Annotated[int, Meta(ge=1024)] = env(default=1024 * 1024, doc="largest JSON body")
    rate_limit: str = env(default="600/minute", doc="requests per caller across all routes; 0 switches it off")
    metrics_token: Secret | None = env(default=None, doc="bearer token for /metrics; without it only loopback reads it")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = env(
        default="INFO", doc="least severe line that is logged"
    )

    database_url: str = env(doc="PostgreSQL, e.g. postgresql://user:password@host:5432/name")
    migration_database_url: str = env(default="", doc="the tables' owner, when the app's own role owns nothing")
    database_pool: Annotated[int, Meta(ge=1, le=200)] = env(default=10, doc="connections a process, at most")
    redis_url: str = env(doc="Redis or Valkey, e.g. redis://host:6379/0 or rediss://…")
    redis_tls_verify: bool = env(default=True, doc="check the certificate of a rediss:// server")
    mongodb_uri: str = env(doc="MongoDB, e.g. mongodb://host:27017/pegboard")
    worker_concurrency: Annotated[int, Meta(ge=1, le=200)] = env(default=10, doc="jobs that a worker runs at once")

    jwt_access_secret: Secret | None = env(default=None, doc="signs access tokens; unset: derived from SECRET_KEYS")
    email_from_name: str = env(default="Pegboard", doc="sender's name")
    email_from_address: str = env(default="no-reply@example.com", doc="sender's address")
    support_email: str = env(default="", doc="where mail tells people to write")

    @property
    def development(self) -> bool:
        return self.app_env == "development"

    @property
    def front_url(self) -> str:
        """Where mailed links point: the front end, or this board's own pages."""
        return (self.app_url or self.api_url).rstrip("/")

    def check(self) -> Iterator[str]:
        """Faults that only show across fields."""
        for name in ("api_url", "app_url"):
            value = getattr(self, name)
            if value and urlsplit(value).scheme not in ("http", "https"):
                yield f"{name.upper()} {value!r} is not acceptable: expected an address with http:// or https://"
        for origin in self.client_url:
            try:
                parts = urlsplit(origin)
                _ = parts.port
            except ValueError as exc:
                yield f"CLIENT_URL {origin!r} is not acceptable: {exc}"
                continue
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
                yield f"CLIENT_URL {origin!r} is not acceptable: expected an origin such as https://app.example.com"
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


SHARED_VARIABLES = frozenset(variable for _, variable in variables(BoardSettings))


def load(environ: Mapping[str, str]) -> BoardSettings:
    """The board's settings; in development a missing secret is made once and kept in the instance folder."""
    settings = read(BoardSettings, environ)
    if not settings.secret_keys:
        settings = dataclasses.replace(settings, secret_keys=(_kept_secret(Path(settings.instance_dir)),))
    return settings


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
