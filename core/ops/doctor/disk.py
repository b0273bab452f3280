"""What lies on this machine's disk, and whether it will still be there tomorrow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from core.contracts import Authenticator, Images, Mailer, ObjectStore, Services, UserDirectory
from core.ops.doctor.findings import Findings, Patient, error, ok, unsafe, warning
from core.registry.standins import NAME as BOARD

LEAST = 100 * 2**20
"""Bytes."""

# What a board does without the plugin; the others' stand-ins (built-in roles, one tenant, no limits) serve for good.
WITHOUT = {
    Mailer: "mail is written into {folder}/mail and reaches nobody",
    ObjectStore: "stored objects are files in {folder}/objects of one machine",
    Images: "image work is refused with 503",
    UserDirectory: "nobody has an account",
    Authenticator: "there are no API keys and no sessions to end",
}


def examine(patient: Patient) -> Findings:
    folder = Path(patient.settings.instance_dir).resolve()
    place = folder if folder.exists() else folder.parent
    if not os.access(place, os.W_OK):
        found = f"INSTANCE_DIR {folder} cannot be written to"
        yield unsafe(patient, "writable", found, "give it to the user that the board runs as, or name another folder")
    elif place.exists() and (free := shutil.disk_usage(place).free) < LEAST:
        yield warning("room", f"{free // 2**20} MB are free under {place}", "make room: uploads and logs need some")
    if folder.exists() and folder.stat().st_mode & 0o077 and _secrets_in(folder):
        found = f"others on this machine may look into {folder}, where secrets lie"
        yield warning("closed", found, f"chmod 700 {folder}")
    yield from _relied_on(patient, folder)


def _secrets_in(folder: Path) -> bool:
    return any(path.exists() and path.stat().st_mode & 0o077 for path in (folder / "secret_key", folder / ".env"))


def _relied_on(patient: Patient, folder: Path) -> Findings:
    """In production nothing may rest on a disk that the next release brings back empty."""
    if not patient.production:
        return
    left = sorted(path.name for path in (folder / "mail", folder / "objects") if path.is_dir() and any(path.iterdir()))
    if left:
        found = f"INSTANCE_DIR holds what production made: {' and '.join(left)}"
        if patient.platform:
            found += f"; {patient.platform} forgets its disks at each release"
        severity = error if patient.platform else warning
        yield severity("kept", found, "move it where it lasts, and switch on the plugins that keep it there")
    else:
        yield ok("kept", "nothing rests on INSTANCE_DIR")


def standins(patient: Patient) -> Findings:
    """Which of the board's own small answers are in use where a plugin's is meant to be."""
    if patient.app is None or not patient.production:
        return
    services: Services = patient.app.extensions["pegboard.services"]
    in_use = [contract for contract in WITHOUT if services.providers(contract)[-1:] == (BOARD,)]
    for contract in in_use:
        found = f"no plugin provides {contract.__name__}: {WITHOUT[contract].format(folder='INSTANCE_DIR')}"
        yield warning(contract.__name__, found, f"switch on a plugin that provides {contract.__name__}, if you need it")
    if not in_use:
        yield ok("contracts", "plugins answer where the board's own answer is a makeshift")
