"""``flask plugins new NAME``: a plugin to begin with, and its tests, in this tree or as a distribution of its own.

``python -m core.ops.scaffold NAME`` is the same for who has no board running.
"""

from __future__ import annotations

from pathlib import Path

import click

from core.ops.scaffold.writing import TREE, CannotWrite, Plan, check_name, distribution, in_tree


@click.command()
@click.argument("name")
@click.option("--distribution", "apart", is_flag=True, help="pegboard-NAME, a distribution of its own.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that pegboard-NAME is written into: this one unless told. Implies --distribution.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
def new(name: str, apart: bool, out: Path | None, dry_run: bool) -> None:
    """Write the plugin NAME: a table with its migration, four routes, a task, an event, permissions, tests.

    Into this tree as plugins/NAME, or, with --distribution, as pegboard-NAME.
    """
    apart = apart or out is not None
    folder = (out or Path()).absolute()
    try:
        check_name(name)
        plan = distribution(name, folder) if apart else in_tree(name)
        if not dry_run:
            plan.write()
    except CannotWrite as exc:
        raise click.ClickException(str(exc)) from exc
    except OSError as exc:
        raise click.ClickException(f"{exc.filename}: {exc.strerror}; see what is there, and who may write it") from exc
    _tell(plan, folder if apart else TREE, dry_run)
    if not dry_run:
        click.echo(_next(name, apart))


def _tell(plan: Plan, folder: Path, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    for path in plan.files:
        click.echo(f"{would}written  {path.relative_to(folder)}")
    for path in plan.edits:
        click.echo(f"{would}changed  {path.relative_to(folder)}")


def _next(name: str, apart: bool) -> str:
    if apart:
        return f"next: cd pegboard-{name}, pip install -e '.[test]', pytest"
    return f"next: make check, which also makes the entry point known; make test PYTEST_ARGS=tests/plugins/{name}"
