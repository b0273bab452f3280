"""Every way to be wrong, and the very words that the plugin's author reads, each with its cure.

They stand beside each plugin of ``broken_plugins/``, in its ``told.txt``: a command, and what it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from forked_boots import apart, faults, flask, post, start
from throwaway import install

BROKEN = Path(__file__).parent / "broken_plugins"
TOLD = sorted(path.parent.name for path in BROKEN.glob("*/told.txt"))

WAYS = {
    "missing requirement": "missing_requirement",
    "cycle": "cycle",
    "syntax error": "syntax_error",
    "import error": "import_error",
    "wrong API number": "wrong_api",
    "route outside its prefix": "route_outside",
    "table outside its prefix": "table_outside",
    "duplicate name": "duplicate_name",
    "bad settings": "bad_settings",
    "two plugins naming one variable": "one_variable_twice",
    "side effect at import": "side_effect",
    "unmarked route": "unmarked_route",
    "unknown permission": "unknown_permission",
    "enqueue of a task that is not there": "unknown_task",
    "broken migration": "broken_migration",
    "foreign key to a neighbour": "foreign_key",
}

pytestmark = pytest.mark.usefixtures("servers")


@pytest.fixture
def no_trace(superuser: psycopg.Connection) -> Iterator[None]:
    """A migration that fails leaves its empty version table: not for the tests that follow."""
    yield
    superuser.execute("drop table if exists crooked_alembic_version")


@pytest.mark.usefixtures("no_trace")
@pytest.mark.parametrize("folder", TOLD)
def test_its_author_reads_what_is_wrong_and_the_cure(folder: str) -> None:
    here = BROKEN / folder
    typed, _, told = (here / "told.txt").read_text().replace("{here}", str(here)).partition("\n")
    words = typed.removeprefix("$ ").split()
    environ = dict(word.split("=") for word in words if "=" in word)
    program, *arguments = [word for word in words if "=" not in word]
    call = {"gunicorn": start, "flask": flask}[program]
    assert apart(call, here, environ=environ, words=arguments) == (1, told)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_that_was_promised_has_its_plugin(way: str) -> None:
    assert WAYS[way] in TOLD


def test_a_listener_that_fails_harms_nobody_and_is_told() -> None:
    status, lines = apart(post, BROKEN / "failing_listener", environ={"PLUGINS": "clumsy"}, path="/api/clumsy/bell")
    assert status == 204
    [(_, told)] = [line for line in lines if line[0] == "ERROR"]
    assert told.startswith(
        "a listener failed, and nobody else noticed: correct it; mark it durable=True if its work must be done\n"
    )
    assert "clumsy/listeners.py" in told and told.endswith("RuntimeError: down the stairs")
    assert ("INFO", "come in") in lines


def test_leniency_covers_no_broken_code() -> None:
    found = apart(faults, BROKEN / "import_error", environ={"PLUGINS": "lonely", "PLUGINS_LENIENT": "1"})
    assert [line.partition(":")[0] for line in found] == ["plugin lonely"]


@pytest.mark.parametrize("folder", ["unmarked_route", "import_error", "syntax_error"])
def test_the_doctor_sees_what_only_another_process_would_import(folder: str) -> None:
    name = next((BROKEN / folder).glob("*.dist-info")).name.partition("-")[0]
    status, said = apart(flask, BROKEN / folder, environ={"PLUGINS": name}, words=["doctor", "--json"])
    [start] = [each for each in json.loads(said)["findings"] if each["check"] == "starts"]
    assert (status, start["severity"]) == (1, "error")
    assert start["found"].startswith(f"plugin {name}: {name}.views")


def test_one_check_tells_what_is_wrong_with_every_part(tmp_path: Path) -> None:
    install(
        tmp_path,
        "messy",
        models="""
            from sqlalchemy.orm import Mapped
            from core.data import TenantModel
            class Sock(TenantModel):
                __tablename__ = "drawer_socks"
                colour: Mapped[str]
        """,
        views="""
            from core.web import Routes
            routes = Routes(__name__)
            @routes.get("/socks")
            def socks() -> None: ...
        """,
        tasks="""
            from core.background import task
            @task()
            def wash() -> None: ...
        """,
        cli="",
    )
    status, said = apart(flask, tmp_path, environ={"PLUGINS": "messy"}, words=["plugins", "check", "--json"])
    told = json.loads(said)
    assert (status, told["plugins"]) == (1, [])
    assert sorted(re.split(";|: add", fault)[0] for fault in told["faults"]) == [
        "plugin messy: messy.cli has no click group named 'messy'",
        "plugin messy: messy.views:socks: nobody is said to may call it",
        "plugin messy: table 'drawer_socks' is outside its prefix",
        "plugin messy: task messy.wash says nothing about who may ask for it",
    ]


SHELVED = """
    from core.trust import public
    from core.web import Routes
    routes = Routes(__name__)
    class Row: ...
    @routes.get("/rows")
    @public
    def rows() -> list[Row]: ...
    @routes.get("/rows/<row>")
    @public
    def row(row: Row) -> None: ...
"""


@pytest.mark.parametrize("command", ["plugins check", "doctor"])
def test_a_type_that_would_keep_the_openapi_document_from_everybody(command: str, tmp_path: Path) -> None:
    install(tmp_path, "rowdy", views=SHELVED)
    status, said = apart(flask, tmp_path, environ={"PLUGINS": "rowdy"}, words=[*command.split(), "--json"])
    told = json.loads(said)
    lines = [each["found"] for each in told.get("findings", ()) if each["check"] == "documented"]
    lines = lines or [fault.partition(";")[0] for fault in told["faults"]]
    assert status == 1
    assert [line.partition(", which no schema describes, so /openapi.json could not be made")[0] for line in lines] == [
        "plugin rowdy: rowdy.views:rows: its reply is list[rowdy.views.Row]",
        "plugin rowdy: rowdy.views:row: its path parameter row is <class 'rowdy.views.Row'>",
    ]


def test_a_check_that_finds_nothing_says_nothing_else() -> None:
    spoken = apart(flask, environ={"PLUGINS": "auth"}, words=["plugins", "check"])
    assert spoken == (0, "1 plugins keep the rules: auth\n")
