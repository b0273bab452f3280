"""Mistakes in a manifest or a settings class: no bare stack, but a line that says the cure, leniency or not."""

from __future__ import annotations

import pytest
from forked_boots import apart, flask
from slips import NOWHERE, told

pytestmark = pytest.mark.unit

HEAD = "from core.contracts import Mailer\nfrom core.registry import Plugin\n"
SETTINGS = """
import dataclasses
from core.config import env
from core.registry import Plugin

@dataclasses.dataclass(frozen=True, kw_only=True)
class S:
    {}

plugin = Plugin(name={!r}, package=__name__, settings=S{})
"""
TUPLES = "write a dict of tuples, such as default_grants={'user': ('word:read',)}"
DICT = "write a dict, such as provides={Mailer: 'package.module:attribute'}"
CHECKED = "yield each fault as a text, and nothing where all is well"
UNRESOLVED = "its annotations cannot be resolved"
FORWARD = "Forward reference must be an expression -- got 'int int'"
IMPORTED = "import every name that they use"
THERE = "put the manifest there, or correct the entry point"
PLAIN = "take str, int, float, bool, Secret, a Literal, or a tuple of these"

MANIFESTS = {
    "grantslist": ("default_grants=['a:b']", f"default_grants is ['a:b']; {TUPLES}"),
    "grantsnone": ("default_grants=None", f"default_grants is None; {TUPLES}"),
    "grantstext": ("default_grants={'user': 'a:b'}", f"default_grants is {{'user': 'a:b'}}; {TUPLES}"),
    "grantsnest": ("default_grants={'user': [['a:b']]}", f"default_grants is {{'user': [['a:b']]}}; {TUPLES}"),
    "grantsrole": ("default_grants={1: ('a:b',)}", f"default_grants is {{1: ('a:b',)}}; {TUPLES}"),
    "provideslist": ("provides=['a:b']", f"provides is ['a:b']; {DICT}"),
    "providesnone": ("provides=None", f"provides is None; {DICT}"),
    "apitext": ("api='1'", "api is '1'; write the number, api=1"),
    "noapi": ("api=None", "api is None; write the number, api=1"),
}
CLASSES = {
    "unknownname": ("x: 'Nope' = env(default=1)", f"{UNRESOLVED}: name 'Nope' is not defined; {IMPORTED}"),
    "wrongquotes": ("x: 'int int' = env(default=1)", f"{UNRESOLVED}: {FORWARD}; {IMPORTED}"),
    "notype": ("x: 5 = env(default=1)", f"x cannot be read from a text: Type '5' is not supported; {PLAIN}"),
    "checksnone": ("def check(self): pass", f"check() answers None; {CHECKED}"),
    "checkstext": ("def check(self): return 'bad'", f"check() answers 'bad'; {CHECKED}"),
    "checksint": ("def check(self): yield 5", "check() yields 5; yield each fault as a text"),
}  # fmt: skip
RAISING = {
    "checkraises": "def check(self): raise ValueError('boom')",
    "postraises": "def __post_init__(self): raise ValueError('boom')",
}
NAMED = {
    "envfive": (
        "x: int = env(5)",
        "TypeError: env(5): a variable's name is a text; a default is written env(default=5)",
    ),
    "envspace": (
        "x: int = env('a b', default=1)",
        "ValueError: env('a b'): a variable's name has letters, digits and _ alone, such as STRIPE_SECRET_KEY",
    ),
}
OTHERS = {
    "packagelist": (
        HEAD + "plugin = Plugin(name='packagelist', package=[])",
        "package is []; write package=__name__",
    ),
    "elsewhere": (
        HEAD + "import plugins.auth\nplugin = Plugin(name='elsewhere', package='plugins.auth')",
        "package='plugins.auth' is not where its manifest is, which is elsewhere; write package=__name__ there",
    ),
    "empty": (
        "",
        f"empty has no 'plugin', which its entry point empty:plugin names; {THERE}",
    ),
    "instance": (
        SETTINGS.format("x: int = 1", "instance", "()"),
        "settings must be a frozen dataclass, not an instance of one; write settings=S",
    ),
}
WRONG = {
    **{name: (f"{HEAD}plugin = Plugin(name={name!r}, package=__name__, {field})", line)
       for name, (field, line) in MANIFESTS.items()},
    **{name: (SETTINGS.format(body, name, ""), f"{name}.S: {line}") for name, (body, line) in CLASSES.items()},
    **{name: (SETTINGS.format(body, name, ""),
              f"{name}.S cannot be filled: ValueError: boom ({name}/__init__.py, line 8); correct it there")
       for name, body in RAISING.items()},
    **{name: (SETTINGS.format(body, name, ""),
              f"{name} cannot be imported: {line} ({name}/__init__.py, line 8); correct it there")
       for name, (body, line) in NAMED.items()},
    **OTHERS,
}  # fmt: skip


@pytest.fixture(scope="module", params=["0", "1"], ids=["strict", "lenient"])
def said(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    slips = {name: {"__init__": manifest} for name, (manifest, _) in WRONG.items()}
    folder = tmp_path_factory.mktemp("slips")
    return told(folder, slips, environ={"PLUGINS_LENIENT": request.param})


@pytest.mark.parametrize("name", WRONG)
def test_it_is_told_in_one_line_with_its_cure(name: str, said: dict[str, list[str]]) -> None:
    assert said[name] == [WRONG[name][1]]


def test_nothing_is_said_of_others(said: dict[str, list[str]]) -> None:
    assert said.keys() == WRONG.keys()


def test_an_entry_point_that_cannot_be_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    info = folder / "garbage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: garbage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pegboard.plugins]\ngarbage = not a module!!\n")
    said = told(folder, {}, environ={"PLUGINS": "auth,garbage"})
    assert said == {
        "garbage": ["its entry point 'not a module!!' cannot be read; write it as 'package:plugin'"],
    }
    status, listed = apart(flask, folder, environ={**NOWHERE, "PLUGINS": "auth"}, words=["plugins", "list"])
    assert (status, "garbage" in listed) == (0, True)
