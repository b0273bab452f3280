"""Where the code of a folder talks to Redis: every function that calls a client or names a script, found in its source.

A *site* is ``core/background/queue/leased.py:Leased.step``, with the commands that it sends in lower case; a script is
called by its name in capitals.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from redis import Redis
from redis.client import Pipeline, PubSub

ROOT = Path(__file__).resolve().parents[1]
CLIENT = re.compile(r"(.*\.)?_?(client|store|channel|conn)")
"""What a client, a pipeline or a subscription is called; chained calls of a pipeline begin with one of those."""
QUEUED = "pipe"
"""What is put on a pipeline is sent by its ``execute``."""
READING = ("subscribe", "pubsub", "get_message", "execute")
COMMANDS = {name for sender in (Redis, Pipeline, PubSub) for name in dir(sender)} - {"pipeline", "close", "ping"}


def sites(folder: str = "core/background") -> dict[str, set[str]]:
    """Site → what it sends."""
    scripts = _scripts()
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / folder).rglob("*.py")):
        for function, sent in _sent(ast.parse(path.read_text("utf-8")), "", scripts):
            found[f"{path.relative_to(ROOT)}:{function}"].add(sent)
    return dict(found)


def changing(commands: Mapping[str, Any]) -> set[str]:
    """The sites that change something, where ``commands`` is what the server tells of its commands."""
    reads = {name for name, told in commands.items() if "readonly" in told["flags"]} | {"time", *READING}
    return {
        site
        for site, sent in sites().items()
        if not {each.removeprefix("pipe.").removesuffix("_iter") for each in sent} <= reads
    }


def _scripts() -> set[str]:
    """The names under which scripts are kept."""
    found: set[str] = set()
    for path in (ROOT / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            made = isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
            if made and ast.unparse(node.value.func) in ("redis.script", "script"):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _sent(node: ast.AST, function: str, scripts: set[str]) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        inside = function
        if isinstance(child, ast.ClassDef) or (isinstance(child, ast.FunctionDef) and not _is_function(function)):
            inside = f"{function}.{child.name}".lstrip(".") + ("()" if isinstance(child, ast.FunctionDef) else "")
        if _is_function(inside):
            name = inside.removesuffix("()")
            called = child.func if isinstance(child, ast.Call) else None
            if isinstance(called, ast.Attribute) and (command := _command(called)):
                yield name, command
            word = getattr(child, "id", None) or getattr(child, "attr", None)
            if word in scripts and isinstance(child, ast.Name | ast.Attribute):
                yield name, word
        yield from _sent(child, inside, scripts)


def _is_function(where: str) -> bool:
    return where.endswith("()")


def _command(called: ast.Attribute) -> str:
    receiver = ast.unparse(called.value).partition("(")[0]
    queued = receiver.partition(".")[0] == QUEUED
    if called.attr not in COMMANDS or not (queued or CLIENT.fullmatch(receiver)):
        return ""
    return f"pipe.{called.attr}" if queued and called.attr != "execute" else called.attr
