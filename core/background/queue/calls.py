"""Reading sources for ``enqueue("name", …)`` and ``step("name", …)``: names that no task has, misfit arguments.

Enqueueing goes by name, so neither Python nor a type checker would notice; this does, before anything runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from core.background.tasks import Task, Tasks

POSITION = {"enqueue": 0, "enqueue_in": 1, "enqueue_many": 0, "step": 0}
"""Where each function takes the task's name."""
MANY, A_STEP = "enqueue_many", "step"


def signature_faults(task: Task, given: Iterable[str], *, complete: bool = True) -> list[str]:
    """Why these argument names do not fit; with ``complete=False`` there may be more of them (a ``**mapping``)."""
    given = set(given)
    fields = msgspec.structs.fields(task.arguments)
    known = {field.name for field in fields}
    faults = []
    if extra := sorted(given - known):
        faults.append(f"task {task.name} takes no {', '.join(extra)}; it takes {', '.join(sorted(known)) or 'nothing'}")
    missing = sorted(field.name for field in fields if field.required and field.name not in given)
    if complete and missing:
        faults.append(f"task {task.name} also needs {', '.join(missing)}")
    return faults


def faults_below(root: str | Path, tasks: Tasks) -> list[str]:
    """One line a fault, ``file:line: what is wrong``, for every Python file below ``root`` (or that one file)."""
    root = Path(root)
    files = [root] if root.is_file() else sorted(root.rglob("*.py"))
    return [fault for path in files if not _hidden(path, root) for fault in _faults_in(path, root, tasks)]


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts[:-1])


def _faults_in(path: Path, root: Path, tasks: Tasks) -> Iterator[str]:
    source = path.read_text("utf-8")
    if "enqueue" not in source and A_STEP not in source:
        return
    try:
        tree = ast.parse(source, str(path))
    except SyntaxError as exc:
        yield f"{_place(path, root, exc.lineno or 1)}: {exc.msg}"
        return
    names, later = _local_names(tree), _given_later(tree)
    called = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    for node in sorted(called, key=lambda node: node.lineno):
        function = names.get(_called(node.func), "")
        position = POSITION.get(function, 0)
        if not function or len(node.args) <= position or (function == A_STEP and isinstance(node.func, ast.Attribute)):
            continue
        name = node.args[position]
        # A name that is computed cannot be known here; whoever computes it has a registry to ask.
        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
            continue
        place = _place(path, root, node.lineno)
        if function == MANY:  # whose arguments are made at run time
            yield from (f"{place}: {fault}" for fault in tasks.check_call(name.value, (), complete=False))
            continue
        if len(node.args) > position + 1:
            yield f"{place}: {name.value}: give the task's arguments by name"
        given = [keyword.arg for keyword in node.keywords if keyword.arg]
        complete = len(given) == len(node.keywords)
        if (argument := later.get(node)) is not None:
            given, complete = [*given, *argument], complete and bool(argument)
        for fault in tasks.check_call(name.value, given, complete=complete):
            yield f"{place}: {fault}"


def _place(path: Path, root: Path, line: int) -> str:
    return f"{path.relative_to(root) if path != root else path}:{line}"


def _local_names(tree: ast.AST) -> dict[str, str]:
    """What each of ``POSITION`` is called in this file, ``from … import enqueue as later`` included.

    Others have functions called ``step`` too: it counts where it is imported from the board.
    """
    names = {name: name for name in POSITION if name != A_STEP}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            ours = (node.module or "").startswith("core.background")
            for alias in node.names:
                if alias.name in POSITION and (ours or (alias.name != A_STEP and alias.asname)):
                    names[alias.asname or alias.name] = alias.name
    return names


def _given_later(tree: ast.AST) -> dict[ast.AST, list[str]]:
    """Of each ``step(…).given("argument")`` the call of ``step``, and the argument; none where that is computed."""
    found: dict[ast.AST, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "given":
            values = [each.value for each in node.args if isinstance(each, ast.Constant)]
            found[node.func.value] = [value for value in values if isinstance(value, str)]
    return found


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""
