"""Mistakes in declaring routes: each is refused at boot, and the line names module, function and cure."""

from __future__ import annotations

from pathlib import Path

import pytest
from slips import told

pytestmark = pytest.mark.unit

HEAD = """
from uuid import UUID
from core.trust import public, requires
from core.web import Routes, limited
routes = Routes(__name__)
"""
VIEW = "def x() -> None: ..."
OTHER = "@routes.get('{}')\n@public\ndef w({}) -> None: ...\n"
PLAIN_DEF = "and a view is called once and answers: write a plain def that returns the reply"
BY_NAME = "arguments come by name, so write each as a plain one"
RENAME = "rename one, or give it endpoint= of its own"
CONVERTERS = "use string, int, float, path, uuid or any(…)"
METHODS = "use DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
DECLARED = "add it to the manifest's permissions"
PROPERLY = "declare it with @routes.get, @routes.post and the like"
OWN = "a plugin answers for its own routes, take it out"
RATES = "expected such as 10/minute, 100/15 minutes, or 0 for no limit"

# What a view says below the head, and what its author is told of it: ``N.views:x: `` goes before.
VIEWS = {
    "converter": (
        "@routes.get('/a/<foo:id>')\n@public\ndef x(id: str) -> None: ...",
        f"rule '/a/<foo:id>' uses the converter 'foo', which does not exist; {CONVERTERS}",
    ),
    "twice": (
        "@routes.get('/a/<id>/<id>')\n@public\ndef x(id: str) -> None: ...",
        "rule '/a/<id>/<id>' has <id> twice; give each parameter a name of its own",
    ),
    "option": (
        f"@routes.get('/a', foo=1)\n@public\n{VIEW}",
        "rule '/a': Rule.__init__() got an unexpected keyword argument 'foo'; leave that option out",
    ),
    "bracket": (
        f"@routes.get('/a/<id')\n@public\n{VIEW}",
        "rule '/a/<id': malformed url rule: '/api/bracket/a/<id'; write it as '/books/<uuid:book_id>'",
    ),
    "endpoint": (
        f"{OTHER.format('/b', '')}@routes.get('/a', endpoint='w')\n@public\n{VIEW}",
        f"another view of this plugin has the endpoint 'w'; {RENAME}",
    ),
    "coroutine": (f"@routes.get('/a')\n@public\nasync {VIEW}", f"it is async, {PLAIN_DEF}"),
    "generator": ("@routes.get('/a')\n@public\ndef x() -> str: yield 'a'", f"it is a generator, {PLAIN_DEF}"),
    "starred": (
        "@routes.get('/a')\n@public\ndef x(*some: int) -> None: ...",
        f"parameter 'some' has a *: {BY_NAME}",
    ),
    "slashed": (
        "@routes.get('/a/<int:i>')\n@public\ndef x(i: int, /) -> None: ...",
        f"parameter 'i' stands before a /: {BY_NAME}",
    ),
    "samerule": (
        OTHER.format("/a/<int:i>", "i: int") + "@routes.get('/a/<int:j>')\n@public\ndef x(j: int) -> None: ...",
        "GET /api/samerule/a/<int:j> is taken by samerule.views:w; give it another rule or method",
    ),
}
# What ends the import: the line of its author stands before the cure.
IMPORTS = {
    "textmethod": (
        f"@routes.route('/a', methods='GET')\n{VIEW}",
        "textmethod.views:x: methods='GET' is a text",
        "write methods=['GET']",
    ),
    "oddmethod": (
        f"@routes.route('/a', methods=['FETCH'])\n{VIEW}",
        "oddmethod.views:x: methods has FETCH, which is none of HTTP's",
        METHODS,
    ),
    "bare": (
        f"@routes.get\n@public\n{VIEW}",
        "a route is declared without its rule",
        "write it as @routes.get('/books')",
    ),
    "slashless": (
        "Routes(__name__, url_prefix='api/x')",
        "url_prefix='api/x' begins with no slash",
        "write url_prefix='/api/x'",
    ),
    "errors": (
        "@routes.app_errorhandler(404)\ndef y(e): ...",
        "@routes.app_errorhandler would act on the whole board",
        OWN,
    ),
    "before": (
        "@routes.before_app_request\ndef y(): ...",
        "@routes.before_app_request would act on the whole board",
        OWN,
    ),
    "cow": (
        f"@limited('1/minute', by='cow')\n{VIEW}",
        "@limited('1/minute', by='cow'): counts by nothing known",
        "use 'ip', 'account' or a function",
    ),
}
# The same, where told and cure are one.
UNPARTED = {
    "rate": (f"@limited('lots')\n{VIEW}", f"@limited('lots'): 'lots' is no rate: {RATES}"),
    "word": (
        f"@requires('word')\n{VIEW}",
        "'word' is not a permission: write it as word:action, such as books:read",
    ),
    "nothing": (f"@requires\n{VIEW}", '@requires names no permission: write @requires("word:action")'),
}
WRONG = {
    **{name: (body, f"{name}.views:x: {line}") for name, (body, line) in VIEWS.items()},
    **{name: (body, f"{what} ({name}/views.py, line 6); {cure}") for name, (body, what, cure) in IMPORTS.items()},
    **{name: (body, f"{what} ({name}/views.py, line 6)") for name, (body, what) in UNPARTED.items()},
    "unheard": (
        f"@routes.get('/a')\n@requires('unheard:of')\n{VIEW}",
        f"unheard.views:x requires the permission 'unheard:of', which no plugin declares; {DECLARED}",
    ),
    "unmade": (
        "routes.add_url_rule('/a', 'a', len)",
        f"unmade: '/a' serves <built-in function len>, about which nothing is known; {PROPERLY}",
    ),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    slips = {name: {"views": HEAD + body} for name, (body, _) in WRONG.items()}
    return told(tmp_path_factory.mktemp("slips"), slips)


@pytest.mark.parametrize("name", WRONG)
def test_it_is_told_in_one_line_with_its_cure(name: str, said: dict[str, list[str]]) -> None:
    assert said[name] == [WRONG[name][1]]


def test_nothing_is_said_of_others(said: dict[str, list[str]]) -> None:
    assert said.keys() == WRONG.keys()


def test_every_rule_that_cannot_be_added_is_told(tmp_path: Path) -> None:
    view = "@routes.get('/{0}/<{0}')\n@public\ndef {0}() -> None: ...\n"
    lines = told(tmp_path, {"many": {"views": HEAD + view.format("a") + view.format("b")}})["many"]
    assert [line.partition(": ")[0] for line in lines] == ["many.views:a", "many.views:b"]
