"""What a plugin would take from the board or from its neighbours: names, addresses, roles, error codes."""

from __future__ import annotations

import os

import pytest
from forked_boots import apart
from slips import NOWHERE, told

from core.errors import declare
from core.registry.addresses import KEPT
from core.registry.manifest import RESERVED

pytestmark = pytest.mark.unit

MANIFEST = "from core.registry import Plugin\nplugin = Plugin(name={!r}, package=__name__, {})\n"
WORD = "begin it with / and a word that the board does not keep for itself"
ROLES = "admin, editor, manager, super_admin, user"
FORM = "write it as /word/word, with single slashes, and without spaces, ? and #"
PATHS = {
    "pathlive": ("/livez", WORD),
    "pathopen": ("/openapi.json", WORD),
    "pathmetric": ("/metrics/mine", WORD),
    "pathbare": ("x", WORD),
    "pathdouble": ("//evil", FORM),
    "pathspace": ("/x y", FORM),
}
WRONG = {
    **{
        name: (f"public_paths=({path!r},)", f"public path {path!r} is not one that a plugin may have; {cure}")
        for name, (path, cure) in PATHS.items()
    },
    **dict.fromkeys(("audit", "doctor", "livez", "pg"), ("", "the name is reserved by the board; choose another")),
}
MOUNTED = {
    "rolewrong": (
        "permissions=('rolewrong:read',), default_grants={'usr': ('rolewrong:read',)}",
        f"default_grants names the role 'usr', which is not built in; take one of {ROLES}",
    ),
}
TAKEN = (
    "public_paths=('/auth/setup',)",
    "public path '/auth/setup' lies under /auth, which is plugin auth's; choose another",
)


def slips(wrong: dict[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    return {name: {"__init__": MANIFEST.format(name, more)} for name, (more, _) in wrong.items()}


@pytest.mark.parametrize("wrong", [WRONG, {"pathtaken": TAKEN}, MOUNTED], ids=["manifests", "neighbours", "mounted"])
def test_it_is_told_in_one_line_with_its_cure(
    tmp_path_factory: pytest.TempPathFactory, wrong: dict[str, tuple[str, str]]
) -> None:
    said = told(tmp_path_factory.mktemp("slips"), slips(wrong))
    assert said == {name: [line] for name, (_, line) in wrong.items()}


def test_a_public_path_need_only_begin_with_another_word(tmp_path_factory: pytest.TempPathFactory) -> None:
    fine = {"apiary": ("public_paths=('/apiary', '/', '/.well-known/x', '/apiary2/<int:n>')", "")}
    assert told(tmp_path_factory.mktemp("slips"), slips(fine)) == {}


def board() -> tuple[set[str], set[str]]:
    """The first words of every route, and the commands, of a board with no plugin but one."""
    from core.app import create_app
    from core.cli import create_cli_app

    rules = create_app("web").url_map.iter_rules()
    words = {rule.rule.split("/")[1] for rule in rules if rule.endpoint.partition(".")[0] != "auth"}
    os.environ["FLASK_APP"] = "core.cli:create_cli_app"
    from flask.cli import FlaskGroup

    plain = set(FlaskGroup().commands)
    return words, plain | set(create_cli_app().cli.commands) - {"auth"}


def test_what_the_board_has_no_plugin_may_take() -> None:
    words, commands = apart(board, environ={**NOWHERE, "PLUGINS": "auth"})
    assert {"livez", "docs", "api"} <= words <= KEPT <= RESERVED
    assert {"run", "secrets", "doctor"} <= commands <= RESERVED


@pytest.mark.parametrize(
    ("name", "status", "line"),
    [
        ("shelf_full", 409, "error code 'shelf_full' is not upper-case; write it as 'SHELF_FULL'"),
        ("SHELF FULL", 409, "error code 'SHELF FULL' is not upper-case; write it as 'SHELF_FULL'"),
        ("SHELF_FINE", 200, "error code SHELF_FINE has the status 200, which is no error's; take one from 400 to 599"),
    ],
)
def test_an_error_code_that_is_none(name: str, status: int, line: str) -> None:
    with pytest.raises(ValueError) as caught:
        declare(name, status, "A title")
    assert str(caught.value) == line
