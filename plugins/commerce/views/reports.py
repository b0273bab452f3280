"""Reports."""

from __future__ import annotations

import msgspec

from core.trust import requires
from plugins.commerce.schemas import ReportQuery, SalesOut
from plugins.commerce.services.reports import Sales
from plugins.commerce.views.routes import routes


@routes.get("/reports/sales")
@requires("orders:read")
def sales_report(query: ReportQuery) -> SalesOut:
    """What was sold from `since` until before `until`."""
    return msgspec.convert(Sales().report(query.since, query.until), SalesOut)
