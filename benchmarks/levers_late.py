"""Which libraries the board imports late, and what each would add: ``python -m benchmarks.levers_late web``.

The sources are searched for every module of a required distribution that they import, wherever the line stands: a
module of ours that is itself imported late keeps its libraries away as well as an ``import`` inside a function does.
A board of the given kind is booted; then, for each library, a forked child imports what the sources name of it. How
much its anonymous memory grows is what being late saves: nothing, where the boot brings the library anyway. Memory
that is merely copied after the fork does not count, so the figures hold for a process that forks and for one that
does not.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from benchmarks.levers_eager import bring

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("web", "worker", "scheduler")

Growth = tuple[float, list[str]]  # MiB, and the packages that came with it


def libraries() -> dict[str, list[str]]:
    """The modules that the sources name, by library, of what the board itself requires; no tools of its developers."""
    required = {_plain(word) for word in metadata.requires("pegboard") or () if "extra ==" not in word}
    owners = metadata.packages_distributions()
    found: dict[str, set[str]] = defaultdict(set)
    for folder in ("core", "plugins"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in _imported(ast.parse(path.read_text())):
                library = name.partition(".")[0]
                if required & {_plain(owner) for owner in owners.get(library, ())}:
                    found[library].add(name)
    return {library: sorted(found[library]) for library in sorted(found)}


def largest(count: int) -> dict[str, list[str]]:
    """The libraries that add most to any kind of process, each with those it brings along, which do not count again."""
    most: dict[str, float] = {}
    brought: dict[str, set[str]] = {}
    for kind in KINDS:
        for library, (more, names) in _screen(kind).items():
            most[library] = max(more, most.get(library, 0))
            brought[library] = brought.get(library, set()) | set(names)
    chosen: dict[str, list[str]] = {}
    for library in sorted(most, key=lambda library: -most[library]):
        if len(chosen) < count and not any(library in brought[other] for other in chosen):
            chosen[library] = sorted(brought[library] & most.keys() - {library})
    return chosen


def _screen(kind: str) -> dict[str, Growth]:
    words = [sys.executable, "-m", "benchmarks.levers_late", kind]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if shown.returncode:
        raise SystemExit(f"the search for late imports failed:\n{shown.stderr}")
    found: dict[str, Growth] = json.loads(shown.stdout.splitlines()[-1])
    return found


def _plain(requirement: str) -> str:
    """A distribution's name alone, in the only spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]).lower()


def _imported(node: ast.AST) -> Iterator[str]:
    """``from a import b`` as ``a`` and ``a.b``, which may be a module; nothing of what only the type checker reads."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imported(child)


def anonymous() -> float:
    """This process's anonymous memory, MiB."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:")) / 1024


def _packages() -> set[str]:
    return {name.partition(".")[0] for name in sys.modules}


def growth(words: list[str]) -> Growth:
    """What importing ``words`` adds, found out in a child, so that the next one starts as this one did."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            before, known = anonymous(), _packages()
            bring(words)
            more = anonymous() - before
            os.write(writing, json.dumps([more, sorted(_packages() - known)]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if not said:
        raise SystemExit(f"these cannot be imported: {words}")
    mebibytes, brought = json.loads(said)
    return mebibytes, brought


def main() -> None:
    from gevent import monkey

    monkey.patch_all(os=False, signal=False, subprocess=False)  # as wsgi.py does: a fork stays a plain one
    from core.app import boot

    named = libraries()
    boot(sys.argv[1])  # type: ignore[arg-type]
    print(json.dumps({library: growth(words) for library, words in named.items()}))


if __name__ == "__main__":
    main()
