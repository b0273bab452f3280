"""What looks like an attack, for administrators."""

from __future__ import annotations

from core.trust import requires
from plugins.auth.services import anomalies
from plugins.auth.user_schemas import Anomalies, AnomaliesQuery
from plugins.auth.views.routes import routes


@routes.get("/anomalies")
@requires("users:read")
def list_anomalies(query: AnomaliesQuery) -> Anomalies:
    """Failed log-ins by address of origin, account or hour, the most first; of the last 24 hours unless told."""
    return anomalies.failures(query)
