"""The command: asks, and tells people in aligned lines or programs in JSON."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter

import click
import msgspec
from flask import current_app
from flask.cli import with_appcontext

from core.ops.budget import ONE_OF_EACH, Formation
from core.ops.doctor.findings import Finding

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def _formation(context: click.Context, option: click.Parameter, text: str | None) -> Formation:
    try:
        return Formation.parse(text) if text else ONE_OF_EACH
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from None


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Tell it as one JSON object.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option(
    "--formation",
    metavar="web=N,worker=N,scheduler=N",
    callback=_formation,
    help="How many of each process run, for the connection budget; one each unless told, or RUN_INSIDE_WEB names them.",
)
@with_appcontext
def command(as_json: bool, strict: bool, formation: Formation) -> None:
    """What is missing or unsafe on this board, and the cure; ends with 1 on errors.

    It only looks. Servers that do not answer cost it a few seconds.
    """
    from core.ops.doctor.admission import patient
    from core.ops.doctor.examination import examine

    findings = examine(patient(current_app._get_current_object(), formation=formation))  # type: ignore[attr-defined]
    counts: Counter[str] = Counter(finding.severity for finding in findings)
    click.echo(_as_json(findings, counts) if as_json else _as_text(findings, counts))
    if counts["error"] or (strict and counts["warning"]):
        raise SystemExit(1)


def _as_json(findings: list[Finding], counts: Counter[str]) -> str:
    status = next((severity for severity in ("error", "warning") if counts[severity]), "ok")
    told = {
        "status": status,
        "errors": counts["error"],
        "warnings": counts["warning"],
        "findings": [
            {name: getattr(each, name) for name in ("topic", "check", "severity", "found", "cure")} for each in findings
        ],
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()


def _as_text(findings: list[Finding], counts: Counter[str]) -> str:
    width = min(120, shutil.get_terminal_size((100, 0)).columns)
    column = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        head = f"{click.style(f'{finding.severity:<7}', fg=COLOURS[finding.severity])}  {finding.name:<{column}}  "
        lines.append(head + _wrapped(finding.found, 11 + column, width))
        if finding.cure:
            lines.append(" " * (11 + column) + _wrapped(f"→ {finding.cure}", 13 + column, width))
    amounts = ((counts["error"], "error"), (counts["warning"], "warning"))
    told = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in amounts if count]
    return "\n".join([*lines, "", f"{' and '.join(told) or 'all is well'}; {counts['ok']} looked at and fine"])


def _wrapped(text: str, indent: int, width: int) -> str:
    room = max(40, width - indent)
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)
