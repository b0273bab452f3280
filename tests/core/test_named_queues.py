"""Queues with names: each with its own number of hands, and each job on the one that its task names."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from redis.exceptions import ConnectionError
from throwaway import eventually, install

from core.background import task
from core.background.queue import contents, delivery, messages
from core.background.queue.framing import framed
from core.background.queue.huey import BoardHuey
from core.background.queue.leased import Leased
from core.background.queue.pump import Pump
from core.background.queue.routes import Route
from core.background.tasks import Tasks, enqueue
from core.data import DEFAULT, new_id, redis
from core.data.outbox import Envelope
from core.errors import BootError
from core.ops.processes import Process
from core.trust import public

TASKS = """\
    import time
    from core.background import task
    from core.data import redis
    from core.data.unit import in_steps
    from core.trust import public

    @task(queue="mail", priority=2)
    @public
    @in_steps
    def send(word: str) -> None:
        redis.client().rpush("chores:mail", f"{word} begun")
        time.sleep(0.2)
        redis.client().rpush("chores:mail", f"{word} sent")

    @task()
    @public
    def note(word: str) -> None:
        redis.client().rpush("chores:notes", word)
    """


def list_of(name: str) -> list[str]:
    found: Any = redis.client().lrange(name, 0, -1)
    return [each.decode() for each in found]


def test_a_job_finds_its_queue_though_its_enqueuer_knows_no_tasks(
    process: Callable[..., Process], ctx: Flask, tmp_path: Path
) -> None:
    enqueue("chores.send", word="early")
    assert len(list(contents.waiting())) == 1, "this process does not know, and says default"
    environ = install(tmp_path, "chores", tasks=TASKS)
    worker = process("worker", WORKER_QUEUES="default:4,mail:1", **environ)
    eventually(lambda: list_of("chores:mail") == ["early begun", "early sent"])
    eventually(lambda: bool(redis.client().exists(redis.board_key("core", "job_routes"))))
    for word in ("a", "b", "c"):
        enqueue("chores.send", word=word)
        enqueue("chores.note", word=word)
    eventually(lambda: len(list_of("chores:notes")) == 3)
    eventually(lambda: len(list_of("chores:mail")) == 8)
    one_by_one = [f"{word} {what}" for word in "abc" for what in ("begun", "sent")]
    assert list_of("chores:mail")[2:] == one_by_one
    stat: Any = redis.client().hgetall("pb:q:{mail}:stat")
    assert stat[b"completed"] == b"4"
    assert worker.stop() == 0, worker.log()


def test_a_worker_tells_of_queues_that_it_leaves_to_others_and_of_names_that_nobody_knows(
    process: Callable[..., Process], ctx: Flask, tmp_path: Path
) -> None:
    environ = install(tmp_path, "chores", tasks=TASKS)
    worker = process("worker", WORKER_QUEUES="default,mial:5", **environ)
    eventually(lambda: "queues that no task of this worker goes to" in worker.log())
    lines = {each["message"]: each for each in map(json.loads, worker.log().splitlines()) if "message" in each}
    [left] = [line for told, line in lines.items() if "does not consume" in told]
    assert left["extra"]["queues"] == ["mail"]
    assert lines["WORKER_QUEUES names queues that no task of this worker goes to"]["extra"]["queues"] == ["mial"]
    eventually(lambda: "mail" in delivery.names())  # to be seen, or paused, before its first job


@pytest.mark.parametrize("error", [ConnectionError("away"), ValueError("nobody has thought of this")])
def test_a_job_that_could_not_be_passed_on_goes_back_to_where_it_was(
    ctx: Flask, worker_app: Flask, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*job: Any) -> None:
        raise error

    enqueued = Envelope(new_id(), "task", "shelf.count", {"words": []}, DEFAULT.id)
    queue = Leased(redis.client(), "elsewhere", "one")
    queue.push([(0, framed(enqueued, Route("elsewhere")))])
    huey = BoardHuey(worker_app, Pump(queue, 1))
    huey.pump._step()
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "pass_on", fail)
        with nullcontext() if isinstance(error, ConnectionError) else pytest.raises(ValueError, match="nobody"):
            assert huey.dequeue() is None, "Redis is away, which is no fault of anybody's"
    assert huey.pump.running == 0, "it would be held, and done by nobody, for as long as the worker lives"
    huey.pump._step()
    assert huey.dequeue() is None
    huey.pump._step()
    assert [len(list(place("elsewhere"))) for place in (contents.waiting, contents.leased)] == [0, 0]
    assert [messages.decode(frame.message).id for frame in contents.waiting()] == [enqueued.id]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"queue": "Mail"}, "has queue='Mail'; name one in small letters"),
        ({"queue": 5}, "has queue=5"),
        ({"priority": 1.5}, "has priority=1.5; say a whole number"),
        ({"priority": 5000}, "has priority=5000"),
        ({"timeout": 0}, "has timeout=0; say the seconds"),
        ({"timeout": True}, "has timeout=True"),
        ({"backoff": 5}, "has backoff=5; give a function"),
    ],
)
def test_a_queue_or_priority_that_cannot_be_stops_the_boot(given: dict[str, Any], said: str) -> None:
    from types import ModuleType

    @task(**given)
    @public
    def chore() -> None: ...

    module = ModuleType("chores.tasks")
    chore.__module__ = module.__name__
    vars(module)["chore"] = chore
    with pytest.raises(BootError, match=said):
        Tasks().add("chores", module)
