"""The rules of the house (docs/architecture.md), read from the sources."""

from __future__ import annotations

import ast
import importlib
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))
WINGS = ("registry", "data", "trust", "web", "live", "background", "ops")
VENDORS = {"boto3", "botocore", "stripe", "razorpay", "google", "azure", "confluent_kafka", "PIL"}
TALLEST = 300

# Inside a plugin, a module imports only from rows below its own.
ROWS = (
    {"views", "sockets", "tasks", "duties", "listeners", "cli"},
    {"services"},
    {"models", "documents", "gateways"},
    {"schemas", "api"},
)

pytestmark = pytest.mark.unit


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every absolute module that a file imports, ``from a import b`` as ``a.b``, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_core_imports_no_plugin_and_no_vendor() -> None:
    assert [
        at(path, line)
        for path in sources("core")
        for module, line in imports(path)
        if module.split(".")[0] in VENDORS | {"plugins"}
    ] == []


def test_core_names_no_plugin() -> None:
    assert [
        at(path, node.lineno)
        for path in sources("core")
        if "telemetry" not in path.parts  # which knows "auth" as a name that secrets go by
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in PLUGINS
    ] == []


def test_vendors_stay_in_gateways() -> None:
    assert [
        at(path, line)
        for path in sources("plugins")
        for module, line in imports(path)
        if module.split(".")[0] in VENDORS and "gateways" not in path.parts
    ] == []


@pytest.mark.parametrize("plugin", PLUGINS)
def test_plugins_meet_where_they_may(plugin: str) -> None:
    from core.registry import neighbours

    manifest = importlib.import_module(f"plugins.{plugin}").plugin
    assert list(neighbours.faults(manifest, {name: f"plugins.{name}" for name in PLUGINS})) == []


@pytest.mark.parametrize("plugin", PLUGINS)
def test_inside_a_plugin_imports_go_down(plugin: str) -> None:
    rank = {name: row for row, names in enumerate(ROWS) for name in names}
    folder = ROOT / "plugins" / plugin
    faults = []
    for path in sources(f"plugins/{plugin}"):
        room = path.relative_to(folder).parts[0].removesuffix(".py")
        own = rank.get(room)
        for module, line in imports(path):
            parts = module.split(".")
            if own is None or parts[:2] != ["plugins", plugin] or len(parts) < 3 or parts[2] not in rank:
                continue
            if parts[2] == room:  # a room that is a package
                continue
            if rank[parts[2]] < own or (rank[parts[2]] == own == 0):
                faults.append(f"{at(path, line)} imports {module}")
    assert faults == []


@pytest.mark.parametrize("plugin", PLUGINS)
def test_views_know_no_sql_and_services_no_request(plugin: str) -> None:
    faults = []
    for path in sources(f"plugins/{plugin}"):
        for module, line in imports(path):
            room = path.relative_to(ROOT / "plugins" / plugin).parts[0].removesuffix(".py")
            if room in ("views", "sockets") and module.split(".")[0] in ("sqlalchemy", "mongoengine"):
                faults.append(f"{at(path, line)}: SQL in a view")
            if room == "services" and module in ("flask.request", "flask.session", "flask.g"):
                faults.append(f"{at(path, line)}: HTTP in a service")
    assert faults == []


LEAKS = {"text", "from_select", "on_conflict_do_update", "on_conflict_do_nothing", "bulk_update_mappings", "__table__"}


def test_plugins_use_no_statement_that_the_orm_filter_misses() -> None:
    """Core selects, text(), upserts and insert-from-select pass the ORM's filter (DESIGN §5): only core/ may."""
    faults = []
    for path in sources("plugins"):
        if "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in LEAKS:
                faults.append(f"{at(path, node.lineno)}: {node.attr}")
    assert faults == []


def test_a_resource_knows_no_store_but_behind_one_protocol() -> None:
    """A second kind of store is a second module, and not a second resource."""
    faults = []
    for path in sources("core/web/resource"):
        if path.name.startswith("sql_"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            named = {alias.name for alias in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()
            named |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            if any(name.partition(".")[0] in ("sqlalchemy", "psycopg") or name == "db" for name in named):
                faults.append(at(path, node.lineno))
    assert faults == []


def test_the_environment_is_read_in_one_place() -> None:
    faults = []
    # Settings are read at boot; only migrations read others; the metrics library has a variable of its own; what stands
    # above the processes of one dyno must not import as much as settings need.
    allowed = {"core/app.py", "core/data/migrations/runner.py", "core/serve.py", "core/telemetry/metrics.py"}
    for path in sources("core", "plugins"):
        name = str(path.relative_to(ROOT))
        if name in allowed or name.startswith("core/ops/"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv"):
                faults.append(at(path, node.lineno))
    assert faults == []


def test_rooms_stay_small() -> None:
    tall = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources("core", "plugins")}
    assert {name: lines for name, lines in tall.items() if lines > TALLEST} == {}


def test_every_room_says_what_it_is_for() -> None:
    assert [
        str(path.relative_to(ROOT))
        for path in sources("core", "plugins")
        if path.read_text().strip()
        and "versions" not in path.parts
        and not ast.get_docstring(ast.parse(path.read_text()))
    ] == []


def test_every_task_that_is_enqueued_exists_and_its_arguments_fit() -> None:
    from core.background.tasks import Tasks, task_faults
    from core.live import notify_tasks

    tasks = Tasks()
    tasks.add("core", notify_tasks)
    for plugin in PLUGINS:
        if (ROOT / "plugins" / plugin / "tasks.py").exists():
            tasks.add(plugin, importlib.import_module(f"plugins.{plugin}.tasks"))
    assert [fault for room in ("core", "plugins") for fault in task_faults(ROOT / room, tasks)] == []


def test_every_public_hook_is_documented() -> None:
    """What a wing's face exports is what plugin authors may rely on: each has a docstring and stands in docs."""
    told = (ROOT / "docs" / "hooks.md").read_text()
    missing = []
    for wing in WINGS:
        face = importlib.import_module(f"core.{wing}")
        for name in face.__all__:
            hook = getattr(face, name)
            if not re.search(rf"`{re.escape(name)}\b", told):
                missing.append(f"docs/hooks.md: core.{wing}.{name}")
            if callable(hook) and not (hook.__doc__ or "").strip():
                missing.append(f"docstring: core.{wing}.{name}")
    assert missing == []


def test_every_setting_stands_in_the_example() -> None:
    from core.config import SHARED_VARIABLES, variables

    example = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M))
    expected = set(SHARED_VARIABLES)
    for plugin in PLUGINS:
        declared = importlib.import_module(f"plugins.{plugin}").plugin.settings
        expected |= {name for _, name in variables(declared, f"{plugin}_")} if declared else set()
    assert expected - example == set()


def test_built_in_plugins_are_declared_as_anyone_elses() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["pegboard.plugins"]
    assert points == {name: f"plugins.{name}:plugin" for name in PLUGINS}


def test_no_registry_host_and_no_path_of_a_machine_in_the_tree() -> None:
    import subprocess

    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    hosts = re.compile(r"python" r"hosted\.org|py" r"pi\.org/simple|npm" r"js\.org|deb\.deb" r"ian\.org")
    found = []
    for name in names:
        path = ROOT / name
        if path.is_file() and path.stat().st_size < 2_000_000:
            text = path.read_text(errors="replace")
            if hosts.search(text) or f"{os.sep}root{os.sep}" in text:
                found.append(name)
    assert found == []
