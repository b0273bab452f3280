"""The board stands with any plugin off, together with those that require it; without them, the refusal names both.

Every plugin that is installed takes part, the sample `shelf` too, and two that lean on it and on one another.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from forked_boots import apart, faults, routes

from core.registry.discovery import GROUP, installed

INSTALLED = {point.name: set(point.load().requires) for point in installed()}
LEANING = {"lender": {"shelf"}, "reader": {"lender", "auth"}}
REQUIRES = {**INSTALLED, **LEANING}

MANIFEST = """from core.registry import Plugin
plugin = Plugin(name={name!r}, package=__name__, requires={requires!r})
"""
VIEWS = """from core.trust import public
from core.web import Routes
routes = Routes(__name__)
@routes.get("/here")
@public
def here() -> None:
    "Somebody is in."
"""

pytestmark = pytest.mark.usefixtures("servers")


@pytest.fixture(scope="module")
def leaning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two that require others, as pip would have left them."""
    folder = tmp_path_factory.mktemp("leaning")
    for name, requires in LEANING.items():
        (folder / name).mkdir()
        manifest = MANIFEST.format(name=name, requires=tuple(sorted(requires)))
        (folder / name / "__init__.py").write_text(manifest)
        (folder / name / "views.py").write_text(VIEWS)
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {name}:plugin\n")
    return folder


def leaning_on(name: str) -> set[str]:
    """The plugin, those that require it, those that require them, and so on."""
    found = {name}
    while more := {other for other, wanted in REQUIRES.items() if wanted & found} - found:
        found |= more
    return found


def chosen(names: set[str]) -> dict[str, str]:
    return {"PLUGINS": ",".join(sorted(names))}


@pytest.mark.parametrize("off", sorted(REQUIRES))
def test_it_stands_without_one_and_those_that_require_it(leaning: Path, off: str) -> None:
    left = set(REQUIRES) - leaning_on(off) or {"auth"}
    for kind in ("web", "worker"):
        found = apart(routes, leaning, environ=chosen(left), kind=kind)
        assert set(found.pop("on")) == left
        assert set(found.values()) <= {200}


@pytest.mark.parametrize("off", sorted(name for name in REQUIRES if len(leaning_on(name)) > 1))
def test_the_refusal_names_both(leaning: Path, off: str) -> None:
    needy = sorted(name for name, wanted in REQUIRES.items() if off in wanted)
    told = apart(faults, leaning, environ=chosen(set(REQUIRES) - {off}))
    for name in needy:
        assert (
            f"plugin {name}: requires {off}, which is not switched on; add {off} to PLUGINS or take {name} out" in told
        )
    for name in leaning_on(off) - {off, *needy}:
        assert any(line.startswith(f"plugin {name}: requires ") and "see its own line" in line for line in told)


@pytest.mark.parametrize("kind", ["web", "worker", "scheduler", "cli"])
def test_it_stands_with_only_auth(leaning: Path, kind: str) -> None:
    found = apart(routes, leaning, environ=chosen({"auth"}), kind=kind)
    assert found.pop("on") == ["auth"]
    assert set(found.values()) <= {200}


def test_every_plugin_takes_part() -> None:
    assert {"auth", "shelf", "lender", "reader"} <= set(REQUIRES)
