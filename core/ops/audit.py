"""``flask audit``: prove that nobody has touched the audit log."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from core.trust.audit import ChainBroken, verify_chain

group = click.Group("audit", help="Look after the audit log.")


@group.command()
@click.option("--from", "from_seq", type=click.IntRange(min=1), default=1, help="First entry to look at.")
@click.option("--known", metavar="HEAD", help="A head printed earlier: also notice entries cut off at the end.")
@with_appcontext
def verify(from_seq: int, known: str | None) -> None:
    """Walk the hash chain; fail at the first entry that was altered, removed or moved."""
    try:
        head = bytes.fromhex(known) if known else None
    except ValueError:
        raise click.BadParameter("expected the hexadecimal head of an earlier run", param_hint="--known") from None
    try:
        found = verify_chain(from_seq, head)
    except ChainBroken as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(f"{found.count} entries hold, {found.unsealed} are still to be sealed; head {found.head.hex()}")
