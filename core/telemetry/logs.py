"""Logs: one JSON object a line on stdout, with who and what it was about, and without secrets.

``time`` (RFC 3339, milliseconds, Z), ``level``, ``logger``, ``message``; where they are known ``request_id``,
``tenant``, ``user``, ``plugin``; ``extra`` with what the call gave as such; ``exception`` as one text. The command line
writes plain text to stderr instead, and so does a development board to a terminal.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any, Self, TextIO

import msgspec
from flask import Flask

from core.config import BoardSettings, Secret
from core.telemetry.scrubbing import HIDDEN, clean, hide_settings, scrub

FIELDS = ("request_id", "tenant", "user", "plugin")
_FIELDS = frozenset(FIELDS)

# What logging itself puts on a record; everything else came by `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Loggers that bring handlers of their own.
_FOREIGN = ("gunicorn.error", "gunicorn.access", "werkzeug", "huey")

_CLEAN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# JSON may hold these as they are, but some readers of lines take them for the end of one.
_BREAKS = re.compile("[\x80-\x9f\u2028\u2029]")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


# -- context ----------------------------------------------------------------------------------------------------

_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default={})  # noqa: B039 - never written to


class _Set:
    """What ``log_context`` gives back: leave the ``with``, or call ``reset``, to return to how it was."""

    def __init__(self, token: Token[Mapping[str, object]]) -> None:
        self._token = token

    def reset(self) -> None:
        _context.reset(self._token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.reset()


def log_context(**fields: object) -> _Set:
    """Put ``request_id``, ``tenant``, ``user`` or ``plugin`` on each line from here on, in this request or job.

    ``with log_context(tenant=tenant.id):``, or ``was = log_context(…)`` and ``was.reset()``. ``None`` takes one away.
    """
    if not fields.keys() <= _FIELDS:
        unknown = fields.keys() - _FIELDS
        raise TypeError(f"log_context() knows {', '.join(FIELDS)}, not {', '.join(sorted(unknown))}")
    merged = {name: value for name, value in {**_context.get(), **fields}.items() if value is not None}
    return _Set(_context.set(merged))


def request_id() -> str | None:
    """What the request, or the job that it left, is called in the logs; ``None`` outside of one."""
    found = _context.get().get("request_id")
    return None if found is None else str(found)


def new_request_id() -> str:
    return uuid.uuid4().hex


def clean_request_id(given: str | None) -> str:
    """The client's ``X-Request-ID`` where it is fit to be repeated, else a new one."""
    return given if given and _CLEAN_ID.fullmatch(given) else new_request_id()


# -- lines ------------------------------------------------------------------------------------------------------


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = entry(record)
        try:
            line = msgspec.json.encode(fields).decode()
        except Exception:  # half of a surrogate pair, for one: say it in ASCII
            line = msgspec.json.encode(_ascii(fields)).decode()
        return line if line.isascii() else _BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


class PlainLines(logging.Formatter):
    """For people: the same content, scrubbed alike. A message can neither draw on the terminal nor begin a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = entry(record)
        more = [f"{name}={fields[name]}" for name in FIELDS if name in fields]
        more += [f"{name}={value}" for name, value in dict(fields.get("extra", ())).items()]
        message = f"{fields['message']}{'  ' if more else ''}{' '.join(more)}".replace("\n", "\n    ")
        line = f"{fields['time'][11:23]} {fields['level']:<8}{fields['logger']}: {message}"
        if "exception" in fields:
            line += f"\n{fields['exception']}"
        return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", line)


def entry(record: logging.LogRecord) -> dict[str, Any]:
    """A record as what is written of it: scrubbed, and fit for JSON. Never raises."""
    seconds, milliseconds = divmod(int(record.created * 1000), 1000)
    fields: dict[str, Any] = {
        "time": f"{_second(seconds)}.{milliseconds:03d}Z",
        "level": record.levelname,
        "logger": record.name,
        "message": _message(record),
    }
    context = _context.get()
    fields.update((name, scrub(str(context[name]))) for name in FIELDS if name in context)
    if "plugin" not in context and record.name.startswith("plugins."):
        fields["plugin"] = record.name.split(".")[1]
    extra = {name: value for name, value in vars(record).items() if name not in _OWN}
    if extra:
        fields["extra"] = clean(extra)
    if told := _exception(record):
        fields["exception"] = told
    return fields


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _message(record: logging.LogRecord) -> str:
    try:
        text, args = str(record.msg), record.args
        if args:
            # Values that know themselves to be secret, or go under a secret's name, are told apart best before they
            # become text.
            text %= clean(args) if isinstance(args, Mapping) else tuple(_argument(value) for value in args)
    except Exception:  # arguments that do not fit the message, or that cannot be shown
        text = f"{clean(record.msg)} {clean(record.args)}"
    return scrub(text)


def _argument(value: Any) -> Any:
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, Mapping | list | tuple | set | frozenset | msgspec.Struct):
        return clean(value)
    return value


def _exception(record: logging.LogRecord) -> str:
    parts = []
    try:
        if record.exc_info and record.exc_info[0]:
            parts.extend(traceback.format_exception(*record.exc_info))
        if record.stack_info:
            parts.append(str(record.stack_info))
    except Exception:  # an exception whose text raises another
        parts.append("an exception that cannot be shown")
    return scrub("".join(parts).rstrip())


def _ascii(value: Any) -> Any:
    if isinstance(value, dict):
        return {_ascii(name): _ascii(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_ascii(item) for item in value]
    return value.encode("ascii", "backslashreplace").decode() if isinstance(value, str) else value


# -- where they go ----------------------------------------------------------------------------------------------


class Lines(logging.StreamHandler[TextIO]):
    """Writes to what stdout or stderr is at the moment; what cannot be written is dropped."""

    def __init__(self, name: str) -> None:
        self.stream_name = name
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        stream: TextIO = getattr(sys, self.stream_name)
        return stream

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        pass

    def emit(self, record: logging.LogRecord) -> None:
        # logging's own way with what goes wrong here would print the arguments, secrets and all.
        with contextlib.suppress(Exception):
            line = self.format(record) + self.terminator
            try:
                self.stream.write(line)
            except UnicodeEncodeError:
                self.stream.write(line.encode("ascii", "backslashreplace").decode())
            self.flush()


def init_app(app: Flask) -> None:
    """Send all logs of this process through one handler, and hide the secrets that the board is configured with."""
    settings: BoardSettings = app.extensions["pegboard.settings"]
    hide_settings(settings)
    plain = app.extensions["pegboard.kind"] == "cli"
    handler = Lines("stderr" if plain else "stdout")
    readable = plain or (settings.development and handler.stream.isatty())
    handler.setFormatter(PlainLines() if readable else JsonLines())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, Lines)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING if plain else settings.log_level)
    for name in _FOREIGN:
        foreign = logging.getLogger(name)
        foreign.handlers.clear()
        foreign.propagate = True
