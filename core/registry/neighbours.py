"""What a plugin imports of its neighbours, read from its sources: their ``api`` alone, if its manifest says so.

Whoever is in ``requires`` is there; whoever is in ``after`` may not be, and only listeners, which nobody waits for, may
know its events. Imports that are spelt at run time are not seen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from core.registry.manifest import Plugin

INSTEAD = "of another plugin only its api may be imported; ask a contract, emit an event or enqueue a task instead"


def faults(plugin: Plugin, packages: Mapping[str, str]) -> Iterator[str]:
    """One line for each import that is not allowed; ``packages`` has those of all plugins, by name."""
    spec = find_spec(plugin.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).rglob("*.py")):
            inside = path.relative_to(folder)
            told: set[tuple[int, str]] = set()
            for module, line in _imports(path, ".".join((plugin.package, *inside.parts[:-1]))):
                name = _owner(module, packages)
                if name is None or name == plugin.name or (line, name) in told:
                    continue
                cure = _cure(plugin, name, module.removeprefix(packages[name]).split(".")[1:2] == ["api"], inside)
                if cure:
                    told.add((line, name))
                    yield f"plugin {plugin.name}: {plugin.package}/{inside}:{line} imports {module}; {cure}"


def _cure(plugin: Plugin, name: str, api: bool, inside: Path) -> str:
    if not api:
        return INSTEAD
    listener = inside.parts[0].removesuffix(".py") == "listeners"
    if name in plugin.requires or (listener and name in plugin.after):
        return ""
    return f"add {name!r} to the manifest's requires" + (", or to its after" if listener else "")


def _owner(module: str, packages: Mapping[str, str]) -> str | None:
    """The plugin that a module belongs to: of packages inside one another, the innermost."""
    holding = [name for name, package in packages.items() if f"{module}.".startswith(f"{package}.")]
    return max(holding, key=lambda name: len(packages[name]), default=None)


def _imports(path: Path, package: str) -> Iterator[tuple[str, int]]:
    """Every module that a file of ``package`` imports, ``from a import b`` as ``a.b``, with its line."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # who imports it says so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -(node.level - 1) or None] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{start}.{alias.name}", node.lineno) for alias in node.names)
