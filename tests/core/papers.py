"""Documents for the tests of documents, the tenants that they are in, and threads to write them from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID

from mongoengine import DateTimeField, IntField, ListField, ReferenceField, StringField

from core.contracts import Tenant
from core.data.documents import TenantDocument

ELSEWHERE = Tenant(UUID(int=7), "elsewhere", "Elsewhere", home="database")


class Folder(TenantDocument):
    meta = {"collection": "test_folders"}

    name = StringField(unique=True)


class Paper(TenantDocument):
    meta = {
        "collection": "test_papers",
        "indexes": [
            "-hits",
            {"fields": ["$title"]},
            {"fields": ["gone_at"], "expireAfterSeconds": 60},
            {"fields": ["nickname"], "unique": True, "sparse": True},
        ],
    }

    title = StringField()
    nickname = StringField()
    hits = IntField(default=1)
    tags = ListField(StringField())
    gone_at = DateTimeField()
    folder = ReferenceField(Folder)


def in_threads(call: Callable[[int], None], numbers: range) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            call(number)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
