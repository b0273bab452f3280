"""Files of any length, in and out: each row once whatever happens, and a report of those that were not taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest
from import_kills import each_once, import_under_fire
from shop import Shop

from core.ops.processes import Process

CSV = "text/csv"
NDJSON = "application/x-ndjson"


def put(shop: Shop, id: Any, data: str | bytes, kind: str = CSV, **query: Any) -> Any:
    at = f"/api/commerce/customers/imports/{id}"
    return shop.client.put(at, data=data, query_string=query, headers={**shop.headers, "Content-Type": kind})


def csv_of(*names: str) -> str:
    return "name,email\r\n" + "".join(f"{name},{name.lower()}@example.com\r\n" for name in names)


def names(shop: Shop) -> list[str]:
    return [each["name"] for each in shop.get("/customers", sort="name", limit=100).json["items"]]


def test_csv_with_quotes_lists_and_a_mark_at_its_head(admin: Shop) -> None:
    text = '\ufeffname,email,tags,status\n"Carol ""C"" Smith,\nJr.",carol@example.com,"[""a"",""b""]",\n'
    told = put(admin, uuid4(), text.encode()).json
    assert (told["created"], told["failed"], told["next_row"]) == (1, 0, 1)
    [carol] = admin.get("/customers").json["items"]
    assert (carol["name"], carol["tags"], carol["status"]) == ('Carol "C" Smith,\nJr.', ["a", "b"], "active")
    assert admin.get(f"/customers/{carol['id']}/history").json["items"][0]["action"] == "commerce.customer_created"


def test_ndjson(admin: Shop) -> None:
    lines = [{"name": name, "email": f"{name}@example.com", "tags": ["x"]} for name in ("a", "b")]
    body = b"\n".join(map(msgspec.json.encode, lines))
    assert put(admin, uuid4(), body, NDJSON).json["created"] == 2


def test_rows_that_cannot_be_taken_are_told_and_keep_no_other_out(admin: Shop) -> None:
    admin.customer("Dan")
    text = "name,email,status\nAnn,ann@example.com,\nDan,dan@example.com,\nEve,nothing,\nFay,fay@example.com,asleep\n"
    id = uuid4()
    told = put(admin, id, text + "Gus,gus@example.com,\nGus,gus@example.com,\n").json
    assert (told["next_row"], told["created"], told["failed"]) == (6, 2, 4)
    faults = [(each["row"], each["code"], each["field"]) for each in told["faults"]]
    assert faults == [
        (1, "CONFLICT", None),
        (2, "VALIDATION_FAILED", "$.email"),
        (3, "VALIDATION_FAILED", "$.status"),
        (5, "CONFLICT", None),
    ]
    assert admin.get(f"/customers/imports/{id}/faults").json["items"] == told["faults"]
    assert admin.get(f"/customers/imports/{id}").json == {**told, "faults": []}
    assert names(admin) == ["Ann", "Dan", "Gus"]


def test_sent_again_whole_or_in_part_it_goes_on_where_it_was(admin: Shop) -> None:
    id = uuid4()
    put(admin, id, csv_of("A", "B"))
    assert put(admin, id, csv_of("A")).json["next_row"] == 2, "less of it takes nothing back"
    assert put(admin, id, csv_of("A", "B", "C")).json["created"] == 3
    assert put(admin, id, csv_of("D"), from_row=3).json["next_row"] == 4
    assert put(admin, id, csv_of("F"), from_row=7).json["code"] == "CONFLICT"
    other = put(admin, id, csv_of("X", "Y", "Z", "Q", "E"))
    assert (other.status_code, "another" in other.json["detail"]) == (409, True)
    assert names(admin) == ["A", "B", "C", "D"]


def test_a_body_that_was_cut_off_loses_its_last_line_and_nothing_else(admin: Shop) -> None:
    id, text = uuid4(), csv_of("A", "B")
    at = f"/api/commerce/customers/imports/{id}"
    cut = admin.client.put(
        at,
        data=text + "C,c@exam",
        headers={**admin.headers, "Content-Type": CSV},
        environ_overrides={"CONTENT_LENGTH": str(len(text) + 40)},
    )
    assert (cut.status_code, cut.json["code"]) == (400, "MALFORMED_BODY")
    assert put(admin, id, csv_of("A", "B", "C")).json["created"] == 3
    assert names(admin) == ["A", "B", "C"]


def test_a_dry_run_checks_all_and_keeps_nothing(admin: Shop, superuser: psycopg.Connection[Any]) -> None:
    told = put(admin, uuid4(), csv_of("A", "B") + "C,nothing\n", dry_run="true").json
    assert (told["created"], told["failed"], told["faults"][0]["row"]) == (2, 1, 2)
    assert names(admin) == []
    assert superuser.execute("select count(*) from core_imports").fetchone() == (0,)


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"name,colour\nA,red\n", CSV, 422),
        (b"\n", CSV, 400),
        (b"name,email\nA\n", CSV, 400),
        (b"name,email,name\nA,a@example.com,B\n", CSV, 422),
        (b'name,email\n"A,a@example.com\n', CSV, 400),
        (b"name,email\n\xff,a@example.com\n", CSV, 400),
        (b"name\nA\n", "application/json", 415),
        (b"x" * (1024 * 1024 + 70_000), NDJSON, 400),
    ],
)
def test_what_is_no_such_file(admin: Shop, data: bytes, kind: str, status: int) -> None:
    assert put(admin, uuid4(), data, kind).status_code == status
    assert names(admin) == []


def test_who_may_not_create_may_not_import(admin: Shop, alice: Shop) -> None:
    id = uuid4()
    assert put(alice, id, csv_of("A")).json["code"] == "FORBIDDEN"
    put(admin, id, csv_of("A"))
    assert alice.get(f"/customers/imports/{id}").json["code"] == "FORBIDDEN"


# -- exports ------------------------------------------------------------------------------------------------------


def test_what_was_exported_can_be_imported(admin: Shop) -> None:
    for name in ("=1+1", "'=x", "Carol, C.", "-"):
        body = {"name": name, "email": f"{abs(hash(name))}@example.com", "tags": ["a", "b"]}
        assert admin.post("/customers", body).status_code == 201
    file = admin.get("/customers/export", sort="name")
    assert file.headers["Content-Type"].startswith("text/csv")
    assert "'=1+1" in file.text and "''=x" in file.text, "no spreadsheet runs what somebody called themselves"
    before = [(each["name"], each["tags"]) for each in admin.get("/customers", sort="name").json["items"]]
    for each in admin.get("/customers").json["items"]:
        admin.delete(f"/customers/{each['id']}")
    assert put(admin, uuid4(), file.data).json["created"] == 4
    assert [(each["name"], each["tags"]) for each in admin.get("/customers", sort="name").json["items"]] == before


def test_exports_are_filtered_sorted_and_as_many_as_there_are(
    admin: Shop, alice: Shop, monkeypatch: pytest.MonkeyPatch, superuser: psycopg.Connection[Any]
) -> None:
    monkeypatch.setattr("core.web.resource.exporting.AT_ONCE", 2)
    put(admin, uuid4(), csv_of("A", "B", "C", "D", "E"))
    mine = admin.customer("Mine", owner_id=str(alice.user_id), status="blocked")
    lines = admin.get("/customers/export", format="ndjson", status="active", sort="-name", fields="name").text.split()
    assert [msgspec.json.decode(line)["name"] for line in lines] == ["E", "D", "C", "B", "A"]
    hers = alice.get("/customers/export", format="ndjson").text.split("\n")
    assert [msgspec.json.decode(line)["id"] for line in hers if line] == [mine["id"]]
    assert admin.get("/customers/export", status="nobody").status_code == 422
    assert superuser.execute(
        "select count(*) from core_audit where action = 'commerce.customers_exported'"
    ).fetchone() == (2,)


@pytest.mark.timeout(240)
def test_an_import_whose_server_is_killed_takes_each_row_once(
    admin: Shop, process: Callable[..., Process], superuser: psycopg.Connection[Any]
) -> None:
    web = process("web", WEB_CONCURRENCY="1", RATE_LIMIT="0", LOG_LEVEL="WARNING")
    again = import_under_fire(web, admin.headers, superuser, total=8_000, kills=3, seed=7)
    assert again >= 2
    each_once(superuser, 8_000)
