"""Secrets: long enough, random enough, and each used for one thing only. What they are is never told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from core import private_keys
from core.config import MIN_SECRET_LENGTH, Secret
from core.ops.doctor.findings import Findings, Patient, error, ok, unsafe, warning

NEW = 'make one with python -c "import secrets; print(secrets.token_urlsafe(48))"'
FEWEST_CHARACTERS = 10
_EXAMPLE = re.compile(r"change.?me|example|secret|password|default|insecure|placeholder|your.?key", re.IGNORECASE)


def examine(patient: Patient) -> Findings:
    settings = patient.settings
    yield from _keys(patient)
    for variable, value in (("JWT_ACCESS_SECRET", settings.jwt_access_secret),):
        if value and (weakness := weakness_of(value)):
            yield unsafe(patient, "jwt", f"{variable} is {weakness}", f"{NEW}, or leave it empty: one is then derived")
    yield from _private_keys(patient)
    token = settings.metrics_token
    if token and (weakness := weakness_of(token)):
        yield unsafe(patient, "metrics", f"METRICS_TOKEN is {weakness}", NEW)
    yield from _shared(patient)


def _keys(patient: Patient) -> Findings:
    keys = patient.settings.secret_keys
    if not keys:
        if patient.production:
            yield error("keys", "SECRET_KEYS is not set", NEW)
        else:
            yield ok("keys", "made once and kept in INSTANCE_DIR, as this is a development board")
        return
    weak = [(index, why) for index, key in enumerate(keys, 1) if (why := weakness_of(key))]
    for index, why in weak:
        yield unsafe(patient, "keys", f"SECRET_KEYS, number {index} of {len(keys)}, is {why}", NEW)
    if len(set(keys)) < len(keys):
        yield error("repeated", "SECRET_KEYS lists the same key twice", "list each key once, the one that signs first")
    elif len(keys) > 1:
        found = f"{len(keys)} keys: the first signs, the others still verify"
        yield warning("rotation", found, "`flask secrets rotate` says when the old ones may go")
    if not weak:
        yield ok("keys", f"{len(keys)} in SECRET_KEYS, at least {MIN_SECRET_LENGTH} characters each")


def _private_keys(patient: Patient) -> Findings:
    """A key that is weak or cannot be read stops the boot: the topic ``start`` tells of it."""
    text = patient.settings.jwt_private_keys
    if not text or private_keys.faults(text):
        return
    algorithms = [each.algorithm for each in private_keys.read(text)]
    if len(algorithms) > 1:
        found = f"{len(algorithms)} in JWT_PRIVATE_KEYS: the first signs, the others still verify"
        yield warning("jwt_rotation", found, "take out those that have signed nothing for a quarter of an hour")
    if patient.settings.jwt_access_secret:
        found = "JWT_ACCESS_SECRET still verifies access tokens, though JWT_PRIVATE_KEYS signs them"
        yield warning("jwt_shared", found, "take it out a quarter of an hour after the change")
    yield ok("jwt_keys", f"{' and '.join(algorithms)} in JWT_PRIVATE_KEYS")


def weakness_of(secret: str) -> str:
    """Why a secret could be guessed, in words that go after "is"; empty for a good one."""
    if len(secret) < MIN_SECRET_LENGTH:
        return f"too short: {len(secret)} of at least {MIN_SECRET_LENGTH} characters"
    if len(set(secret)) < FEWEST_CHARACTERS:
        return f"too plain: {len(set(secret))} different characters"
    if re.fullmatch(r"(.{1,16}?)\1+.{0,16}", secret):
        return "one short text again and again"
    if _EXAMPLE.search(secret):
        return "made of words that stand in examples"
    return ""


def _shared(patient: Patient) -> Findings:
    """The same value in two places: who learns it from one has the other."""
    places: dict[str, list[str]] = {}
    for name, value in _named(patient):
        places.setdefault(value, []).append(name)
    for names in places.values():
        counted = Counter(names)
        if len(counted) > 1:
            yield error("shared", f"{' and '.join(counted)} hold the same value", f"give each its own: {NEW}")


def _named(patient: Patient) -> Iterator[tuple[str, str]]:
    settings = patient.settings
    yield from (("SECRET_KEYS", str(key)) for key in settings.secret_keys)
    for name, secret in (("JWT_ACCESS_SECRET", settings.jwt_access_secret), ("METRICS_TOKEN", settings.metrics_token)):
        if secret:
            yield name, str(secret)
    for name in ("database_url", "redis_url", "mongodb_uri"):
        if password := password_of(getattr(settings, name)):
            yield f"{name.upper()}'s password", password


def password_of(url: str) -> Secret:
    try:
        return Secret(unquote(urlsplit(url).password or ""))
    except ValueError:
        return Secret("")
