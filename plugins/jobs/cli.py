"""``flask jobs …``: the queues and their dead letters, from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from uuid import UUID

import click
import msgspec
from flask.cli import AppGroup

from core.background.queue.figures import QueueFigures
from core.background.queue.following import ENDED
from core.background.queue.keys import NAME
from core.background.queue.parts import By
from core.background.queue.tallies import HOURS, Spread
from core.contracts import SYSTEM
from core.data import PLATFORM, acting_in, unit
from core.errors import Refused
from core.trust import acting_as
from plugins.jobs.schedule_schemas import EditSchedule, ScheduleOut, SchedulesQuery
from plugins.jobs.schemas import EventsQuery, LettersQuery, ReplayMany
from plugins.jobs.services import following, letters, queues, schedules

jobs = AppGroup("jobs", help="Queues, dead letters and schedules.")
schedule = AppGroup("schedule", help="One schedule.")
jobs.add_command(schedule)


def _named(context: click.Context, parameter: click.Parameter, queue: str) -> str:
    if not NAME.fullmatch(queue):
        raise click.BadParameter(f"{queue!r} is no name of a queue")
    return queue


of_queue = click.option("--queue", default="default", show_default=True, callback=_named)
of_task = click.option("--task", help="Jobs of this task alone.")
with_error = click.option("--error", help="Jobs whose error has these words.")


@jobs.command("queues")
def list_queues() -> None:
    """How each queue stands."""
    with _as_operator():
        for each in queues.queues():
            click.echo(_line(each))


@jobs.command("figures")
@click.argument("queue", default="default")
@click.option("--by", type=click.Choice(["task", "tenant"]), default="task", show_default=True)
@click.option("--hours", type=click.IntRange(1, HOURS), default=1, show_default=True)
def tell_figures(queue: str, by: By, hours: int) -> None:
    """How QUEUE stands by task or tenant, and within how many milliseconds jobs were begun and done."""
    with _as_operator():
        for each in queues.figures_by(queue, by, hours):
            numbers = f"waiting {each.waiting}, active {each.active}, delayed {each.delayed}"
            more = " or more" if each.partial else ""
            click.echo(
                f"{each.name or '-'}: {numbers}{more}; completed {each.completed}, failed {each.failed};"
                f" waited {_spread(each.wait_ms)}, ran {_spread(each.run_ms)}"
            )


@jobs.command("pause")
@click.argument("queue")
def pause(queue: str) -> None:
    """Have nothing taken off QUEUE until it is resumed; what runs goes on."""
    with _as_operator():
        click.echo(_line(queues.set_paused(queue, True)))


@jobs.command("resume")
@click.argument("queue")
def resume(queue: str) -> None:
    """Have QUEUE's jobs run again."""
    with _as_operator():
        click.echo(_line(queues.set_paused(queue, False)))


@jobs.command("follow")
@click.argument("job", type=click.UUID)
def follow(job: UUID) -> None:
    """Tell what happens to JOB, of a followed task, until it has ended."""
    cursor = None
    while True:
        with _as_operator(in_steps=True):
            found = following.events(job, EventsQuery(cursor=cursor, limit=100, wait=25))
        for each in found.items:
            click.echo(f"{each.at:%Y-%m-%d %H:%M:%S}  {each.event:8}  {msgspec.json.encode(each.data).decode()}")
        if found.items and found.items[-1].event in ENDED:
            return
        cursor = found.next


@jobs.command("dead")
@of_queue
@of_task
@with_error
def list_dead(queue: str, task: str | None, error: str | None) -> None:
    """List the jobs that nobody tries any more, the latest first: key, time, task, why."""
    query = LettersQuery(queue=queue, task=task, error=error, limit=100)
    while True:
        with _as_operator():
            page = letters.page(query)
        for each in page.items:
            click.echo(f"{each.key}  {each.died_at:%Y-%m-%d %H:%M:%S}  {each.task or '-'}  {each.error}")
        if page.next is None:
            return _tell_of_others(queue)
        query = LettersQuery(queue=queue, task=task, error=error, limit=100, cursor=page.next)


@jobs.command("replay")
@of_queue
@of_task
@with_error
@click.option("--dry-run", is_flag=True, help="Only tell how many that would be.")
def replay(queue: str, task: str | None, error: str | None, dry_run: bool) -> None:
    """Run dead jobs again, their attempts counted from one."""
    with _as_operator():
        done = letters.replay_many(ReplayMany(queue=queue, task=task, error=error, dry_run=dry_run))
    click.echo(f"{done.matching} match, {done.replayed} were replayed")
    _tell_of_others(queue)


def _tell_of_others(queue: str) -> None:
    """Who looks for a dead job may not know that it died on another queue."""
    with _as_operator():
        others = [f"{each.name} {each.dead}" for each in queues.queues() if each.name != queue and each.dead]
    if others:
        click.echo(f"this was the queue {queue}; dead on others (--queue): {', '.join(others)}", err=True)


@jobs.command("schedules")
def list_schedules() -> None:
    """What recurs: name, when, task, the next time."""
    cursor = None
    while True:
        with _as_operator():
            page = schedules.page(SchedulesQuery(limit=100, cursor=cursor))
        for each in page.items:
            click.echo(_recurring(each))
        if (cursor := page.next) is None:
            return


@schedule.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Have NAME run again, from its next tick on."""
    with _as_operator():
        click.echo(_recurring(schedules.change(schedules.locked(name), EditSchedule(enabled=True))))


@schedule.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Have NAME run no more."""
    with _as_operator():
        click.echo(_recurring(schedules.change(schedules.locked(name), EditSchedule(enabled=False))))


@schedule.command("run")
@click.argument("name")
def run(name: str) -> None:
    """Have NAME run now, whatever the time, and print its job's id; a scheduler sees to it within a second or two."""
    with _as_operator():
        click.echo(schedules.run(name).job_id)


@schedule.command("next")
@click.argument("name")
@click.option("--count", type=click.IntRange(1, 50), default=10, show_default=True)
def upcoming(name: str, count: int) -> None:
    """Print the next times of NAME, in UTC."""
    with _as_operator():
        found = schedules.upcoming(name, count).items
    for each in found:
        click.echo(f"{each:%Y-%m-%d %H:%M:%S}Z")


@contextmanager
def _as_operator(in_steps: bool = False) -> Iterator[None]:
    try:
        with acting_in(PLATFORM), acting_as(SYSTEM), nullcontext() if in_steps else unit():
            yield
    except Refused as refusal:
        raise click.ClickException(refusal.detail or refusal.code.title) from None


def _spread(found: Spread) -> str:
    points = [f"p{name[1:]} {value:g}" for name, value in msgspec.structs.asdict(found).items() if value is not None]
    return f"{', '.join(points)} ms" if points else "-"


def _line(queue: QueueFigures) -> str:
    numbers = f"waiting {queue.waiting}, active {queue.active}, delayed {queue.delayed}, dead {queue.dead}"
    oldest = "" if queue.oldest_seconds is None else f", oldest {queue.oldest_seconds:.0f} s"
    several = "" if queue.workers == 1 else "s"
    told = f"{queue.workers} worker{several}" if queue.workers else "NOBODY CONSUMES IT"
    if queue.closed_seconds:
        told = f"closed for {queue.closed_seconds:.0f} s after an outage"
    if queue.paused:
        told = "PAUSED"
    return f"{queue.name}: {numbers}{oldest}; completed {queue.completed}, failed {queue.failed}; {told}"


def _recurring(each: ScheduleOut) -> str:
    when = f"{each.cron} {each.timezone}" if each.cron else f"every {each.every} s"
    after = f"next {each.next_at:%Y-%m-%d %H:%M:%S}Z" if each.next_at else "DISABLED"
    return f"{each.name}: {when}  {each.task} {msgspec.json.encode(each.arguments).decode()}  {after}"
