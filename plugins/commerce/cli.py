"""``flask commerce …``: whether the books are right."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from core.data import all_tenants, unit
from plugins.commerce.services import books

commerce = AppGroup("commerce", help="Commerce.")
ledger = AppGroup("ledger", help="The double-entry ledger.")
commerce.add_command(ledger)


@ledger.command("check")
def check() -> None:
    """Check every tenant's books: each posting sums to zero, each balance is the sum of its account's entries.

    Exits with 1 and names what is wrong. It reads the whole ledger and changes nothing.
    """
    wrong = 0
    for tenant in all_tenants("checking the ledger"):
        with unit():
            found = books.check()
        told = "in order" if not found.faults else "WRONG"
        click.echo(f"{tenant.slug}: {found.accounts} accounts, {found.postings} postings: {told}")
        for fault in found.faults:
            click.echo(f"  {fault}")
        wrong += len(found.faults)
    if wrong:
        raise click.ClickException("the books are wrong; stop what posts to them, and compare with a backup")
