"""``flask secrets rotate``: from an old key in SECRET_KEYS to a new one, without a token or a sealed row lost.

The first key signs and seals, every listed one still reads. What is merely signed lives for a while and then needs the
old key no more; what is stored sealed would need it for ever, so it is sealed anew under the first. Columns say
themselves what they hold: ``mapped_column(sa.Text, info={"sealed": PURPOSE})``.
"""

from __future__ import annotations

import secrets as dice
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import click
import sqlalchemy as sa
from flask.cli import with_appcontext

from core.background.queue import contents
from core.config import settings
from core.data import redis
from core.data.migrations.rules import is_fenced
from core.data.models import db
from core.data.tenancy import all_tenants
from core.data.unit import unit
from core.registry.standins.objects import MAX_LINK_SECONDS
from core.trust import secrets
from core.trust.identity import ACCESS_TTL

group = click.Group("secrets", help="Look after SECRET_KEYS.")

NEW_BYTES = 48
BATCH = 500

# What is signed and stored nowhere of ours, with the longest that it lives. The slowest decides how long a key stays.
SIGNED = {
    "access tokens": ACCESS_TTL,
    "cursors of lists": timedelta(hours=1),
    "links to stored objects": timedelta(seconds=MAX_LINK_SECONDS),
}
PURPOSES = f"SECRET_KEYS signs {', '.join(SIGNED)} and jobs on the queue, and seals what is stored unreadably."


class Column(NamedTuple):
    """A column that keeps what ``seal`` made, and the purpose it was made for."""

    table: sa.Table
    column: sa.Column[Any]
    purpose: str

    def __str__(self) -> str:
        return f"{self.table.name}.{self.column.name}"


def sealed_columns() -> list[Column]:
    """Every column of the board and its plugins that says ``info={"sealed": purpose}``."""
    return [
        Column(table, column, column.info["sealed"])
        for table in db.metadata.sorted_tables
        for column in table.columns
        if "sealed" in column.info
    ]


@group.command()
@click.option("--dry-run", is_flag=True, help="Count what would be sealed anew; change nothing.")
@click.option("--new", is_flag=True, help="Print another new key, though SECRET_KEYS lists several already.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=BATCH, help="Rows a transaction.", show_default=True)
@with_appcontext
def rotate(dry_run: bool, new: bool, batch: int) -> None:
    """Replace the key in use.

    Run it three times: for a new key to put first; once every process has that, to seal anew what is stored; and when
    it says that the old one may go, after taking that out. It can be stopped and run again at any time.
    """
    click.echo(PURPOSES)
    keys = [secrets.key_id(key) for key in settings().secret_keys]
    for position, each in enumerate(keys):
        click.echo(f"  {each}  {'still reads' if position else 'signs and seals'}")
    if len(keys) == 1 or new:
        _offer()
    for column in sealed_columns():
        found = sum((_seal_anew(column, batch, dry_run) for _ in _places(column)), Counter[str]())
        verb = "would be sealed anew" if dry_run else "sealed anew"
        click.echo(f"{column}: {found['anew']} {verb}, {found['first']} are under the first key")
        if found["lost"]:
            click.echo(f"{column}: {found['lost']} were sealed with a key that is not listed; put it back to read them")
    if not dry_run:
        _tell_when(keys)


def _offer() -> None:
    click.echo("\nA new key. Put it first and leave the others behind it, in every process of the board:\n")
    click.echo(f"  SECRET_KEYS={dice.token_urlsafe(NEW_BYTES)},<what it says now>\n")
    click.echo("It is kept nowhere, and the next run makes another. When it is in use, run this command again.\n")


# -- sealing anew -------------------------------------------------------------------------------------------------


def _places(column: Column) -> Iterator[None]:
    """The tenants, one at a time, for a table of theirs; one stop for a table of the whole installation."""
    if not is_fenced(column.table):
        yield
        return
    for _ in all_tenants("sealing anew under the first of SECRET_KEYS"):
        yield


def _seal_anew(what: Column, batch: int, dry_run: bool) -> Counter[str]:
    """Here and now, a batch a transaction: what an earlier run did is passed over, so a killed one goes on."""
    first = secrets.key_id(settings().secret_keys[0])
    key = what.table.c.id
    made_by = sa.func.split_part(what.column, ".", 1)
    found: Counter[str] = Counter()
    with unit():
        mine = sa.select(sa.func.count()).select_from(what.table).where(made_by == first)
        found["first"] = db.session.scalar(mine) or 0
    after = None
    while True:
        old = sa.select(key, what.column).where(what.column.is_not(None), made_by != first).order_by(key).limit(batch)
        with unit():
            rows = db.session.execute(old if after is None else old.where(key > after)).all()
            for id, text in rows:
                found[_row(what, id, text, dry_run)] += 1
        if len(rows) < batch:
            return found
        after = rows[-1][0]


def _row(what: Column, id: Any, text: str, dry_run: bool) -> str:
    try:
        fresh = secrets.reseal(what.purpose, text)
    except secrets.BadSignature:
        return "lost"
    if not dry_run:
        values: dict[str, Any] = {what.column.name: fresh}
        if "updated_at" in what.table.c:  # nothing that its readers see has changed
            values["updated_at"] = what.table.c.updated_at
        # Somebody who has changed it meanwhile has sealed it under the first key.
        db.session.execute(sa.update(what.table).where(what.table.c.id == id, what.column == text).values(values))
    return "anew"


# -- when the old one may go --------------------------------------------------------------------------------------


def _tell_when(keys: list[str]) -> None:
    old = keys[1:]
    if not old:
        return
    left = {f"{column}": _left(column, old) for column in sealed_columns()}
    with _redis_or_word() as store:
        waiting = _waiting(store, old)
        since = _in_use_since(store, keys[0])
        for what, count in {**left, "jobs on the queue": waiting}.items():
            if count:
                click.echo(f"{what}: {count} still need {' or '.join(old)}; run this again when they are done")
        if any(left.values()) or waiting:
            raise SystemExit(1)
        slowest = max(SIGNED, key=lambda name: SIGNED[name])
        until = since + SIGNED[slowest]
        if until > datetime.now(UTC):
            click.echo(
                f"Nothing is stored under {' or '.join(old)} any more. Keep it until {until:%Y-%m-%d %H:%M} UTC:"
                f" {slowest} that it signed live until then."
            )
        else:
            click.echo(f"{' and '.join(old)} may go: take it out of SECRET_KEYS, in every process.")


def _left(what: Column, old: list[str]) -> int:
    made_by = sa.func.split_part(what.column, ".", 1)
    counted = sa.select(sa.func.count()).select_from(what.table).where(made_by.in_(old))
    left = 0
    for _ in _places(what):
        with unit():
            left += db.session.scalar(counted) or 0
    return left


@contextmanager
def _redis_or_word() -> Iterator[Any]:
    from redis.exceptions import RedisError

    try:
        yield redis.client()
    except RedisError as exc:
        raise click.ClickException(f"Redis does not answer, so that jobs may still need the old key: {exc}") from exc


def _waiting(store: Any, old: list[str]) -> int:
    """Messages that one of these keys signed. Workers take them in turn; a retry is signed anew."""
    prefixes = tuple(f"{each}.".encode() for each in old)
    return sum(message.startswith(prefixes) for message in contents.every_message())


def _in_use_since(store: Any, first: str) -> datetime:
    """When this command first saw the first key there, which is later than it was: what it signs is safe to count."""
    place, now = redis.board_key("core", "secret_keys"), datetime.now(UTC)
    store.hsetnx(place, first, now.isoformat())
    told: Any = store.hget(place, first)
    return datetime.fromisoformat(told.decode())
