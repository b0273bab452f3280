"""Tables as the code expects them (``flask db check``), and roles in them that nobody knows."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from core.contracts import SUPER_ADMIN, Authorizer, service
from core.data.migrations import MigrationError, Migrations
from core.data.models import db
from core.data.tenancy import PLATFORM, all_tenants
from core.data.unit import unit
from core.ops.doctor.database import connect
from core.ops.doctor.findings import Away, Finding, Findings, Patient, error, ok, split, warning
from core.registry.standins.assignments import RoleAssignment
from core.registry.standins.authorizer import BuiltInRoles

MOST = 10
"""Faults that are shown one by one."""

# How `flask db check` says it.
UNFENCED = "models and migrations differ: fence("
NEWER = "newer code was here"
FOREIGN = ": belongs to "


def examine(patient: Patient) -> Findings:
    """Pending migrations, missing fences, tables and models that differ."""
    from core.data.migrations.drift import faults

    if patient.app is None:
        raise Away("the board does not start")
    owner = patient.settings.migration_database_url or patient.settings.database_url
    with connect(owner):  # rather than wait ten seconds for it, as a migration would
        pass
    with patient.app.app_context():
        board = Migrations.of(patient.app)
        try:
            found = faults(board)
        except MigrationError as exc:
            found = [str(exc)]
    for fault in _gathered(found)[:MOST]:
        yield _told(fault)
    if len(found) > MOST:
        yield error("more", f"{len(found)} in all", "`flask db check` tells them one by one")
    if not found:
        yield ok("migrations", f"{len(board.histories)} histories agree with models and database")


def _gathered(faults: list[str]) -> list[str]:
    """One line for all tables that belong to somebody else: the cure is one statement."""
    others = [fault for fault in faults if FOREIGN in fault]
    rest = [fault for fault in faults if FOREIGN not in fault]
    if len(others) < 2:
        return [*others, *rest]
    tables = ", ".join(fault.removeprefix("table ").partition(":")[0] for fault in others)
    return [f"tables {tables}:{others[0].partition(':')[2]}", *rest]


def _told(fault: str) -> Finding:
    what, cure = split(fault)
    if UNFENCED in fault:
        table = fault.partition('"')[2].partition('"')[0]
        cure = "let a migration call fence() on it, again where one did and the fence was taken down since"
        return error("fence", f"table {table} has no fence: its rows are open to every tenant", cure)
    if NEWER in fault:
        return warning("newer", what, "deploy the code that was here; it may have changed what this one relies on")
    if " behind" in what:
        return error("migrations", what, "run `flask db upgrade` before the release that needs it")
    if FOREIGN in fault:
        return error("owner", what, cure)
    return error("tables", what, cure or "`flask db revision NAME -m …` writes what is missing")


def roles(patient: Patient) -> Findings:
    """Roles that were given and that nobody declares: they grant nothing, which their holders may not know."""
    if patient.app is None:
        raise Away("the board does not start")
    with connect(patient.settings.database_url):
        pass
    with patient.app.app_context():
        known = service(Authorizer)
        if not isinstance(known, BuiltInRoles):
            return  # the plugin that answers instead keeps roles of its own
        unknown: Counter[str] = Counter()
        given = sa.select(RoleAssignment.role, sa.func.count()).group_by(RoleAssignment.role)
        try:
            for tenant in all_tenants("doctor: roles that nobody declares"):
                with unit():
                    for role, count in db.session.execute(given):
                        if role not in known.grants or (role == SUPER_ADMIN and tenant.id != PLATFORM.id):
                            unknown[role] += count
        except sa.exc.ProgrammingError as exc:
            raise Away("there is no table of roles to read yet") from exc
    for role, count in sorted(unknown.items()):
        found = f"{count} hold the role {role!r}, which nobody declares: it grants nothing"
        yield warning("unknown", found, "switch its plugin on again, or withdraw it")
    if not unknown:
        yield ok("unknown", "every role that was given is declared")
