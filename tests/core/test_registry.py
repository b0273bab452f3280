"""Finding, ordering and configuring plugins; what is refused besides the faults of ``tests/broken_plugins``."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from core import config
from core.app import create_app
from core.errors import BootError
from core.ops import plugins
from core.registry.discovery import discover

Install = Callable[..., None]
MANIFEST = "from core.registry import Plugin\nplugin = Plugin(name={name!r}, package=__name__{more})\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: object) -> Iterator[Install]:
    """Write a distribution with a plugin, as pip would have left it: a package and its entry point."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, more: str = "", *, point: str | None = None, manifest: str = "", **parts: str) -> None:
        package = f"{name}_pkg"
        folder = tmp_path / package
        folder.mkdir()
        text = manifest or MANIFEST.format(name=name, more=f", {more}" if more else "")
        (folder / "__init__.py").write_text(text)
        for part, source in parts.items():
            (folder / f"{part}.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[pegboard.plugins]\n{point or name} = {package}:plugin\n")

    yield write
    for module in set(sys.modules) - before:
        if module.partition(".")[0].endswith("_pkg"):
            del sys.modules[module]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Boot with the given plugins and answer what the board complains of, one fault a line."""

    def boot(*plugins: str, kind: str = "web", **environ: str) -> str:
        monkeypatch.setenv("PLUGINS", ",".join(plugins))
        for variable, value in environ.items():
            monkeypatch.setenv(variable, value)
        with pytest.raises(BootError) as caught:
            create_app(kind)  # type: ignore[arg-type]
        return "\n".join(caught.value.faults)

    return boot


def order(*names: str, **environ: str) -> list[str]:
    board = config.load({**os.environ, "PLUGINS": ",".join(names), **environ})
    return [entry.plugin.name for entry in discover(board, {**os.environ, **environ}).on]


def test_requirements_come_first_then_the_alphabet(install: Install) -> None:
    install("alpha", "requires=('zeta',)")
    install("beta", "after=('alpha', 'absent')")
    install("zeta")
    assert order("beta", "alpha", "zeta") == ["zeta", "alpha", "beta"]
    assert order("beta", "zeta") == ["beta", "zeta"]


def test_an_unset_choice_means_all_that_are_installed(install: Install) -> None:
    install("omega")
    assert {"auth", "shelf", "omega"} <= set(order())


def test_a_name_that_nobody_installed(faults: Callable[..., str], servers: object) -> None:
    found = faults("phantom")
    assert re.search("PLUGINS names 'phantom', which is not installed; installed are: auth, (.+, )?shelf", found)


@pytest.mark.parametrize("name", ["x", "shelf_like", "api"])
def test_names_that_no_plugin_may_have(install: Install, faults: Callable[..., str], name: str) -> None:
    install(name)
    assert f"plugin {name}" in faults(name).replace("'", "")


def test_a_manifest_that_cannot_be_imported(install: Install, faults: Callable[..., str]) -> None:
    install("typo", manifest="plugin = = 1")
    assert "plugin typo: typo_pkg cannot be imported: SyntaxError" in faults("typo")


def test_entry_point_and_manifest_must_agree(install: Install, faults: Callable[..., str]) -> None:
    install("inside", point="outside")
    assert "plugin outside: its manifest says name='inside'" in faults("outside")


def test_a_manifest_that_is_none(install: Install, faults: Callable[..., str]) -> None:
    install("odd", manifest="plugin = 3")
    assert "odd_pkg:plugin is not a core.registry.Plugin" in faults("odd")


SETTINGS = """
from dataclasses import dataclass
from core.config import env
from core.registry import Plugin

@dataclass(frozen=True, kw_only=True)
class Settings:
    key: str = env(doc="the key")
    size: int = env(default=1)

plugin = Plugin(name="picky", package=__name__, settings=Settings)
"""


def test_a_lenient_start_leaves_them_out_and_says_so(
    install: Install, monkeypatch: pytest.MonkeyPatch, make_board: Callable[..., Flask]
) -> None:
    install("picky", manifest=SETTINGS)
    install("leaner", "requires=('picky',)")
    monkeypatch.setenv("PLUGINS", "auth,picky,leaner")
    monkeypatch.setenv("PLUGINS_LENIENT", "1")
    board = make_board("web")
    states = {name: entry.state for name, entry in board.extensions["pegboard.registry"].plugins.items()}
    assert states == {"auth": "on", "picky": "off", "leaner": "off"}
    ready = board.test_client().get("/readyz").get_data(as_text=True)
    assert "PICKY_KEY is not set" in ready
    listed = board.test_cli_runner().invoke(plugins.group, ["list"])
    assert "PICKY_KEY is not set" in listed.output


VIEW = """
from core.trust.permissions import public, requires, signed_in
from core.web.routes import Routes
{make}
{marks}
def view() -> None:
    "A view."
"""


def test_a_public_path_may_be_outside(
    install: Install, monkeypatch: pytest.MonkeyPatch, make_board: Callable[..., Flask]
) -> None:
    make = "routes = Routes(__name__, url_prefix='/')"
    install(
        "known",
        "public_paths=('/.well-known/x',)",
        views=VIEW.format(make=make, marks="@routes.get('/.well-known/x')\n@public"),
    )
    monkeypatch.setenv("PLUGINS", "known")
    assert make_board("web").test_client().get("/.well-known/x").status_code == 204


def test_what_is_outside_stands_beside_what_is_inside(
    install: Install, monkeypatch: pytest.MonkeyPatch, make_board: Callable[..., Flask]
) -> None:
    make = "routes = Routes(__name__)\npages = Routes(__name__, pages=True)\n"
    make += "outside = Routes(__name__, url_prefix='/.well-known')\nother = Routes(__name__, url_prefix='/other')"
    rules = ("routes.get('/x')", "pages.get('/x')", "outside.get('/x')", "other.get('/x')", "public")
    install(
        "known",
        "public_paths=('/.well-known/x', '/other/x')",
        views=VIEW.format(make=make, marks="\n".join(f"@{rule}" for rule in rules)),
    )
    monkeypatch.setenv("PLUGINS", "known")
    client = make_board("web").test_client()
    asked = ("/api/known/x", "/known/x", "/.well-known/x", "/other/x")
    assert [client.get(path).status_code for path in asked] == [204] * 4


def test_two_routes_of_one_place_are_refused(install: Install, faults: Callable[..., str]) -> None:
    make = "routes = Routes(__name__, url_prefix='/known')\nagain = Routes(__name__, url_prefix='/known')"
    install("known", views=VIEW.format(make=make, marks="@routes.get('/x')\n@public"))
    assert "keep one Routes, one with pages=True, and one for each url_prefix of its own" in faults("known")


def test_a_permission_word_has_one_owner(install: Install, faults: Callable[..., str]) -> None:
    install("first", "permissions=('thing:read',)")
    install("second", "permissions=('thing:write',)")
    assert "plugin second: permission thing:write uses the word 'thing' of first" in faults("first", "second")


def test_a_package_that_holds_no_parts(install: Install, faults: Callable[..., str]) -> None:
    install("lost", manifest="from core.registry import Plugin\nplugin = Plugin(name='lost', package='json.decoder')\n")
    assert faults("lost") == (
        "plugin lost: package='json.decoder' is no package that could hold its parts;"
        " write package=__name__ in the package's __init__.py"
    )


def test_whoever_requires_a_broken_one_is_sent_to_its_line(install: Install, faults: Callable[..., str]) -> None:
    install("cracked", manifest="1 / 0")
    install("leaner", "requires=('cracked',)")
    first, second = faults("cracked", "leaner").splitlines()
    assert first.startswith("plugin cracked: cracked_pkg cannot be imported: ZeroDivisionError: division by zero (")
    assert first.endswith("cracked_pkg/__init__.py, line 1); correct it there")
    assert second == "plugin leaner: requires cracked, which is off: see its own line"


def test_a_public_path_has_one_owner(install: Install, faults: Callable[..., str]) -> None:
    for name in ("north", "south"):
        install(name, "public_paths=('/.well-known/x',)")
    assert faults("north", "south") == (
        "plugins north and south: both claim the public path /.well-known/x; switch one of them off"
    )


def test_a_resource_that_no_model_declares(install: Install, faults: Callable[..., str]) -> None:
    install(
        "unkind",
        "permissions=('unkind:write',)",
        views="from uuid import UUID\n"
        + VIEW.format(make="routes = Routes(__name__)", marks="").rpartition("def view")[0]
        + "@routes.get('/<uuid:a>')\n@requires('unkind:write', id='a')\ndef view(a: UUID) -> None:\n    ''\n",
    )
    told = faults("unkind")
    assert "unkind_pkg.views:view requires 'unkind:write' on one resource, and no model declares the word" in told


def test_a_task_asks_for_a_permission_that_somebody_declares(install: Install, faults: Callable[..., str]) -> None:
    source = "from core.background import task\nfrom core.trust import requires\n"
    install("vague", tasks=source + "@task()\n@requires('unheard:of')\ndef go() -> None: ...\n")
    told = faults("vague", kind="worker")
    assert told.startswith("plugin vague: task vague.go requires the permission 'unheard:of', which no plugin declares")


def test_routes_that_would_not_be_mounted(install: Install, faults: Callable[..., str]) -> None:
    install("plain", views="from flask import Blueprint\nroutes = Blueprint('plain', __name__)\n")
    install("double", views="from core.web import Routes\none = Routes(__name__)\ntwo = Routes(__name__)\n")
    told = faults("plain", "double")
    assert "plugin plain: plain_pkg.views has a plain Blueprint; make it core.web.Routes(__name__)" in told
    assert "plugin double: double_pkg.views: The name 'double' is already registered" in told
    assert "keep one Routes, one with pages=True, and one for each url_prefix of its own" in told


def test_what_was_imported_before_has_no_side_effect(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOUD", "0")
    install("loud", manifest="import os\nos.environ['LOUD'] = '1'\n" + MANIFEST.format(name="loud", more=""))
    importlib.import_module("loud_pkg")
    assert order("loud") == ["loud"]


def test_one_contract_one_provider(install: Install, faults: Callable[..., str]) -> None:
    manifest = (
        "from core.contracts import Mailer\n"
        "from core.registry import Plugin\n"
        "plugin = Plugin(name={!r}, package=__name__, provides={{Mailer: 'x:y'}})\n"
    )
    install("posta", manifest=manifest.format("posta"))
    install("postb", manifest=manifest.format("postb"))
    assert "plugins posta and postb: both provide Mailer" in faults("posta", "postb")


def test_parts_are_imported_only_where_they_are_needed(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("parts", views="", tasks="", duties="", listeners="", models="", schemas="raise SystemError")
    monkeypatch.setenv("PLUGINS", "parts")
    seen = {
        kind: set(create_app(kind).extensions["pegboard.registry"].plugins["parts"].parts)  # type: ignore[arg-type]
        for kind in ("web", "worker", "scheduler")
    }
    assert seen == {
        "web": {"models", "views", "listeners", "duties"},
        "worker": {"models", "tasks", "listeners"},
        "scheduler": {"models", "listeners", "duties"},
    }
