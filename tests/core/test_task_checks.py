"""What is refused before it can run: tasks that cannot work, calls that do not fit, messages that are not ours."""

from __future__ import annotations

import importlib
import math
import pickle
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import msgspec
import pytest
from flask import Flask
from shelf import services

from core.background import AtOnce
from core.background.queue import contents, delivery, messages
from core.background.queue.frames import frame
from core.background.queue.leased import Leased
from core.background.tasks import Tasks, task, task_faults
from core.contracts import SYSTEM
from core.data import redis
from core.data.models import new_id
from core.data.outbox import Envelope
from core.data.tenancy import DEFAULT
from core.data.unit import unit
from core.errors import BootError
from core.trust import secrets
from core.trust.permissions import public

RunJobs = Callable[[], int]


# -- messages -------------------------------------------------------------------------------------------------------


def test_a_message_that_is_not_ours_is_kept_apart(
    ctx: Flask, run_jobs: RunJobs, caplog: pytest.LogCaptureFixture
) -> None:
    good = Envelope(id=new_id(), kind="task", name="shelf.count", payload={"book_id": str(new_id())}, principal=SYSTEM)
    signed = messages.encode(msgspec.structs.replace(good, tenant_id=DEFAULT.id))
    flipped = signed[:20] + (b"A" if signed[20:21] != b"A" else b"B") + signed[21:]
    elsewhere = secrets.sign("mail", msgspec.json.encode(good)).encode()
    no_envelope = secrets.sign(messages.PURPOSE, b'{"id": 5}').encode()
    bad = (b"", b"garbage", b"\xff\xfe", pickle.dumps(good.payload), msgspec.json.encode(good))
    delivery.remember("default")
    frames = [(0, frame(message)) for message in (*bad, flipped, elsewhere, no_envelope, signed)]
    Leased(redis.client(), "default", "test").push(frames)
    assert run_jobs() == 1
    with unit():
        assert len(services.marks()) == 1
    assert len(list(contents.dead())) == len(bad) + 3


# -- declared well --------------------------------------------------------------------------------------------------


def test_a_task_that_cannot_work_stops_the_boot() -> None:
    @task()
    @public
    def spread(*names: str) -> None: ...

    @task()
    def unmarked() -> None: ...

    module = ModuleType(__name__)
    module.spread, module.unmarked = spread, unmarked  # type: ignore[attr-defined]
    with pytest.raises(BootError) as caught:
        Tasks().add("chores", module)
    assert [fault.partition(":")[2] for fault in caught.value.faults] == [
        " task chores.spread takes *names; arguments travel by name, so give each one a name of its own",
        " task chores.unmarked says nothing about who may ask for it; mark it @requires, @signed_in or @public",
    ]


class Odd: ...


class One(msgspec.Struct): ...


class Two(msgspec.Struct): ...


def _plain() -> None: ...


async def _waits() -> None: ...


def _yields() -> Iterator[None]:
    yield


def _missing(x: UUIDD) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def _lacking(x: textwrap.Nope) -> None: ...  # type: ignore[name-defined]


def _unreadable(x: Any) -> None: ...


_unreadable.__annotations__["x"] = "int int"


def _odd(x: Odd) -> None: ...


def _odd_within(x: dict[str, list[Odd]]) -> None: ...


def _either(x: One | Two) -> None: ...


@pytest.mark.parametrize(
    ("function", "more", "told"),
    [
        (_waits, {}, "is async, and nothing here would await it; write it with def alone"),
        (_yields, {}, "has a yield, so that a call of it does nothing"),
        (type("Chore", (), {"__module__": __name__}), {}, "is a class; write a function"),
        (_missing, {}, "has an annotation that is not there at run time (name 'UUIDD' is not defined); import it"),
        (_lacking, {}, "has an annotation that cannot be read (AttributeError: module 'textwrap' has no attribute"),
        (_unreadable, {}, "has an annotation that cannot be read (SyntaxError: "),
        (_odd, {}, f"takes x, and no JSON can be read as {Odd!r}; take an id, a plain type or a Struct"),
        (_odd_within, {}, "takes x, and no JSON can be read as dict"),
        (_either, {}, "takes x, and no JSON can be read as "),
        (_plain, {"retries": "5"}, "has retries='5'; say how many more times, such as retries=3"),
        (_plain, {"retries": -1}, "has retries=-1; say"),
        (_plain, {"retry_delay": "1"}, "has retry_delay='1'; say a number of seconds"),
        (_plain, {"retry_delay": math.inf}, "has retry_delay=inf; say a number of seconds"),
        (_plain, {"timeout": math.nan}, "has timeout=nan; say the seconds after which it is stopped"),
        (_plain, {"timeout": 1e300}, "has timeout=1e+300; say the seconds after which it is stopped"),
        (_plain, {"unique": True, "window": "x"}, "has window='x'; say seconds, at most a day"),
        (_plain, {"unique": True, "window": math.nan}, "has window=nan; say seconds, at most a day"),
        (_plain, {"window": 5}, "has window=5; say seconds, at most a day, and beside unique="),
        (_plain, {"limits": AtOnce(0)}, "has AtOnce(many=0, by=(), each_tenant=False); say how many"),
        (_plain, {"limits": 5}, "has 5 in limits=; write limits=(AtOnce(1),)"),
        (_plain, {"outage": 5}, "has 5 in outage=; name classes of exceptions"),
        (_plain, {"never": "x"}, "has 'x' in never=; name classes of exceptions, such as never=(ValueError,)"),
        (_plain, {"never": (5,)}, "has 5 in never=; name classes"),
        (_plain, {"kind": "thread"}, "has kind='thread'; say 'greenlet', or 'process' for what computes"),
        (_plain, {"kind": "process"}, "is of the kind process, and the queue default is for greenlets; name one"),
    ],
)
def test_what_a_task_may_not_be_is_named_with_the_cure(
    function: Callable[..., Any], more: dict[str, Any], told: str
) -> None:
    module = ModuleType(__name__)
    kept = dict(vars(function))
    module.chore = public(task(**more)(function))  # type: ignore[attr-defined]
    try:
        with pytest.raises(BootError) as caught:
            Tasks().add("chores", module)
    finally:
        for mark in vars(function).keys() - kept.keys():
            delattr(function, mark)
    [fault] = caught.value.faults
    assert fault.startswith(f"plugin chores: task chores.chore {told}")


def test_one_of_what_may_be_several_need_not_be_in_a_tuple() -> None:
    policy = task(limits=AtOnce(1), never=KeyError, outage=[OSError])(lambda: None).__task__  # type: ignore[attr-defined]
    assert (policy.limits, policy.never, policy.outage) == ((AtOnce(1),), (KeyError,), (OSError,))
    assert policy.faults() == []


def test_tasks_of_two_kinds_on_one_queue_are_refused() -> None:
    def shrink() -> None: ...

    def send() -> None: ...

    tasks = Tasks()
    first, second = ModuleType(__name__), ModuleType(__name__)
    first.shrink = public(task(queue="images", kind="process")(shrink))  # type: ignore[attr-defined]
    second.send = public(task(queue="images")(send))  # type: ignore[attr-defined]
    tasks.add("album", first)
    with pytest.raises(BootError, match=r"chores\.send is of the kind greenlet on the queue images, where album\."):
        tasks.add("chores", second)


@pytest.mark.parametrize("mark", ["task()", "duty(every=60)", "on(Rang)"])
def test_two_of_one_name_in_a_module_are_refused(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"twofold_{mark.partition('(')[0]}"
    (tmp_path / f"{name}.py").write_text(
        textwrap.dedent(f"""\
        import msgspec
        from core.background import duty, on, task
        class Rang(msgspec.Struct, frozen=True): ...
        @{mark}
        def chore(*given): ...
        @{mark}
        def chore(*given): ...
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BootError, match=f"{name}:chore is there twice, in lines 4 and 6, .*; rename one"):
        importlib.import_module(name)


def test_calls_are_checked_in_the_sources(tmp_path: Path) -> None:
    @task()
    @public
    def greet(user_id: UUID, loud: bool = False) -> None: ...

    module = ModuleType(__name__)
    module.greet = greet  # type: ignore[attr-defined]
    tasks = Tasks()
    tasks.add("chores", module)
    (tmp_path / "services.py").write_text(
        textwrap.dedent("""\
        from core.background import enqueue, enqueue_in as later, step
        enqueue("chores.greet", user_id=1)
        enqueue("chores.greet", user_id=1, loud=True)
        enqueue("chores.greet", **given)
        enqueue(name_from_elsewhere, whatever=1)
        enqueue("chores.greeet", user_id=1)
        enqueue("chores.greet")
        background.tasks.enqueue("chores.greet", user_id=1, quiet=True)
        later(5, "chores.greet", person=1)
        enqueue("chores.greet", 1)
        background.enqueue_many("chores.greet", [{"user_id": 1}])
        background.enqueue_many("chores.greeet", [])
        step("chores.greeet")
        step("chores.greet", loud=True).given("user_id")
        step("chores.greet", user_id=1).given("person")
        step("chores.greet").given(whatever)
        step("chores.greet")
        machine.step("aside")
        """)
    )
    assert task_faults(tmp_path, tasks) == [
        "services.py:6: no task is called 'chores.greeet'; the tasks are chores.greet",
        "services.py:7: task chores.greet also needs user_id",
        "services.py:8: task chores.greet takes no quiet; it takes loud, user_id",
        "services.py:9: task chores.greet takes no person; it takes loud, user_id",
        "services.py:9: task chores.greet also needs user_id",
        "services.py:10: chores.greet: give the task's arguments by name",
        "services.py:10: task chores.greet also needs user_id",
        "services.py:12: no task is called 'chores.greeet'; the tasks are chores.greet",
        "services.py:13: no task is called 'chores.greeet'; the tasks are chores.greet",
        "services.py:15: task chores.greet takes no person; it takes loud, user_id",
        "services.py:17: task chores.greet also needs user_id",
    ]


def test_a_source_that_does_not_parse_is_a_fault_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text('\nenqueue("chores.greet"')
    [fault] = task_faults(tmp_path, Tasks())
    assert fault.startswith("broken.py:2: ")
