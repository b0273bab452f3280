"""Whether the board starts at all, and with which plugins."""

from __future__ import annotations

from core.ops.doctor.findings import Findings, Patient, error, ok, split, warning
from core.web import openapi


def examine(patient: Patient) -> Findings:
    for fault in patient.faults:
        found, cure = split(fault)
        yield error("starts", found, cure or "mend it: no process of this board starts until then")
    if patient.app is None:
        return
    registry = patient.app.extensions["pegboard.registry"]
    names = [entry.plugin.name for entry in registry.on]
    yield ok("starts", f"{patient.settings.app_env}, with {', '.join(names) or 'no plugin'}")
    with patient.app.app_context():
        undescribed = openapi.faults(patient.app)
    for fault in undescribed:
        found, cure = split(fault)
        yield error("documented", found, cure or "until then nobody can read it, whatever its plugin")
    on = set(names)
    for name, entry in registry.plugins.items():
        if name not in on and entry.reason:
            cure = "set what is missing, or take it out of PLUGINS; PLUGINS_LENIENT let the board start without it"
            yield warning("plugins", f"{name} is off: {'; '.join(entry.reason.splitlines())}", cure)
