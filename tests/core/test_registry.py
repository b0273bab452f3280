"""Finding, ordering and configuring plugins; refusing those that break the rules, by name and with a cure."""

from __future__ import annotations

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
    import os

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


def test_a_requirement_that_is_not_installed(install: Install, faults: Callable[..., str]) -> None:
    install("needy", "requires=('ghost',)")
    assert faults("needy") == (
        "plugin needy: requires ghost, which is not installed; install it or switch this plugin off with PLUGINS"
    )


def test_a_requirement_that_is_not_switched_on(install: Install, faults: Callable[..., str]) -> None:
    install("needy", "requires=('other',)")
    install("other")
    assert faults("needy") == (
        "plugin needy: requires other, which is not switched on; add other to PLUGINS or take needy out"
    )


def test_a_circle(install: Install, faults: Callable[..., str]) -> None:
    install("one", "requires=('two',)")
    install("two", "after=('one',)")
    assert "plugin one: requires and after go in a circle: one → two → one" in faults("one", "two")


def test_a_name_that_nobody_installed(faults: Callable[..., str], servers: object) -> None:
    assert "PLUGINS names 'phantom', which is not installed; installed are: auth, shelf" in faults("phantom")


def test_the_api_number(install: Install, faults: Callable[..., str]) -> None:
    install("future", "api=99")
    assert "plugin future: written for plugin API 99, this board speaks 1" in faults("future")


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


def test_all_bad_settings_at_once(install: Install, faults: Callable[..., str]) -> None:
    install("picky", manifest=SETTINGS)
    told = faults("picky", PICKY_SIZE="big")
    assert "plugin picky: PICKY_KEY is not set: the key" in told
    assert "plugin picky: PICKY_SIZE 'big' is not acceptable" in told


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


def test_leniency_does_not_cover_broken_code(install: Install, faults: Callable[..., str]) -> None:
    install("broken", views="import nothing_of_the_sort")
    told = faults("broken", PLUGINS_LENIENT="1")
    assert told == (
        "plugin broken: broken_pkg.views cannot be imported: no module named 'nothing_of_the_sort';"
        " install it, or correct the import"
    )


VIEW = """
from core.trust.permissions import public, requires, signed_in
from core.web.routes import Routes
{make}
{marks}
def view() -> None:
    "A view."
"""


def test_a_route_without_a_mark(install: Install, faults: Callable[..., str]) -> None:
    install("bare", views=VIEW.format(make="routes = Routes(__name__)", marks="@routes.get('/x')"))
    told = faults("bare")
    assert "bare_pkg.views" in told and "view" in told and "@public" in told


def test_a_route_outside_its_prefix(install: Install, faults: Callable[..., str]) -> None:
    make = "routes = Routes(__name__, url_prefix='/elsewhere')"
    install("stray", views=VIEW.format(make=make, marks="@routes.get('/x')\n@public"))
    assert "plugin stray: route '/elsewhere/x' is outside its prefix /api/stray" in faults("stray")


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


def test_a_permission_that_nobody_declares(install: Install, faults: Callable[..., str]) -> None:
    marks = "@routes.get('/x')\n@requires('unheard:read')"
    install("vague", views=VIEW.format(make="routes = Routes(__name__)", marks=marks))
    assert "requires the permission 'unheard:read', which no plugin declares" in faults("vague")


def test_a_permission_word_has_one_owner(install: Install, faults: Callable[..., str]) -> None:
    install("first", "permissions=('thing:read',)")
    install("second", "permissions=('thing:write',)")
    assert "plugin second: permission thing:write uses the word 'thing' of first" in faults("first", "second")


def test_one_contract_one_provider(install: Install, faults: Callable[..., str]) -> None:
    manifest = (
        "from core.contracts import Mailer\n"
        "from core.registry import Plugin\n"
        "plugin = Plugin(name={!r}, package=__name__, provides={{Mailer: 'x:y'}})\n"
    )
    install("posta", manifest=manifest.format("posta"))
    install("postb", manifest=manifest.format("postb"))
    assert "plugins posta and postb: both provide Mailer" in faults("posta", "postb")


MODEL = """
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from core.data.models import GlobalModel

class Thing(GlobalModel):
    __tablename__ = "elsewhere_things"
"""


def test_a_table_outside_its_prefix(install: Install, faults: Callable[..., str]) -> None:
    from core.data.models import db

    install("tabler", models=MODEL)
    try:
        told = faults("tabler")
    finally:
        db.metadata.remove(db.metadata.tables["elsewhere_things"])
    assert "plugin tabler: table 'elsewhere_things' is outside its prefix; call it tabler_things" in told


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
