"""What `flask plugins check` finds beyond a boot: imports of neighbours, and implementations that do not fit."""

from __future__ import annotations

import pytest
from slips import checked, told

pytestmark = pytest.mark.unit

MANIFEST = """
from core.contracts import Mailer, Quota, ReportSource
from core.registry import Plugin
plugin = Plugin(name={!r}, package=__name__, {})
"""
INSTEAD = "of another plugin only its api may be imported; ask a contract, emit an event or enqueue a task instead"
SEND = "its Mailer cannot be called as send(*, to, subject, text, html=None, key=None)"
REPORT = "its ReportSource cannot be called as report(since, until)"
FIT = "take the contract's parameters"

# What stands in services.py, what else the manifest says, and what is said of line 1.
API = "from plugins.auth.api import LINK_INVALID"
REQUIRE = "add 'auth' to the manifest's requires"
IMPORTS = {
    "amodel": ("from plugins.auth.models import User, Link", "", f"plugins.auth.models.User; {INSTEAD}"),
    "whole": ("import plugins.auth", "requires=('auth',)", f"plugins.auth; {INSTEAD}"),
    "later": ("def f(): from plugins.auth import services", "requires=('auth',)", f"plugins.auth.services; {INSTEAD}"),
    "unsaid": ("from plugins.auth import api", "", f"plugins.auth.api; {REQUIRE}"),
    "aftersaid": (API, "after=('auth',)", f"plugins.auth.api.LINK_INVALID; {REQUIRE}"),
}
# A class of services.py, the contract that it is for, and what is said of it.
PROVIDES = {
    "badmail": ("def send(self): ...", "Mailer", f"{SEND}: got an unexpected keyword argument 'to'; {FIT}"),
    "badquota": (
        "use = give_back = 5",
        "Quota",
        "its Quota has use = 5, which cannot be called; make it a method",
        "its Quota has give_back = 5, which cannot be called; make it a method",
    ),
    "asyncs": (
        "async def report(self, since, until): ...",
        "ReportSource",
        "its ReportSource has an async report, and nobody awaits it; write a plain def",
    ),
    "byname": ("def report(self, a, b): ...", "ReportSource", f"{REPORT}: missing a required argument: 'a'; {FIT}"),
    "onlynamed": (
        "def report(self, *, since, until): ...",
        "ReportSource",
        f"{REPORT}: too many positional arguments; {FIT}",
    ),
    "lacking": ("x = 1", "ReportSource", "its ReportSource lacks report; add them"),
}
RIGHT = {
    "said": (API, "requires=('auth',)"),
    "relative": ("from . import api\nfrom .api import x\nfrom relative import api as again", ""),
    "richer": (
        "class M:\n    def report(self, since, until, *more, fine=True): ...",
        "provides={ReportSource: 'richer.services:M'}",
    ),
}
WRONG = {
    **{
        name: (source, more, [f"{name}/services.py:1 imports {line}"]) for name, (source, more, line) in IMPORTS.items()
    },
    **{
        name: (f"class M:\n    {body}", f"provides={{{contract}: '{name}.services:M'}}", lines)
        for name, (body, contract, *lines) in PROVIDES.items()
    },
    **{name: (source, more, []) for name, (source, more) in RIGHT.items()},
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    slips = {
        name: {"__init__": MANIFEST.format(name, more), "services": source} for name, (source, more, _) in WRONG.items()
    }
    slips["listening"] = {"__init__": MANIFEST.format("listening", "after=('auth',)"), "listeners": API}
    slips["relative"]["api"] = "x = 1"
    slips["overhearing"] = {"listeners": API}
    return told(tmp_path_factory.mktemp("slips"), slips, call=checked)


@pytest.mark.parametrize("name", WRONG)
def test_it_is_told_in_one_line_with_its_cure(name: str, said: dict[str, list[str]]) -> None:
    assert said.get(name, []) == WRONG[name][2]


def test_listeners_may_know_who_is_loaded_before_them(said: dict[str, list[str]]) -> None:
    assert "listening" not in said
    told = f"overhearing/listeners.py:1 imports plugins.auth.api.LINK_INVALID; {REQUIRE}, or to its after"
    assert said["overhearing"] == [told]
