"""Migrations: one environment, a history for the board and for each plugin, brought up in the manifests' order."""

from core.data.migrations.connection import MigrationError, MigrationSettings
from core.data.migrations.fences import fence
from core.data.migrations.roles import role_faults
from core.data.migrations.rules import table_faults
from core.data.migrations.runner import Migrations, upgrade

__all__ = ["MigrationError", "MigrationSettings", "Migrations", "fence", "role_faults", "table_faults", "upgrade"]
