"""Parse, call a service, reply: one module for each matter."""

from __future__ import annotations

from plugins.auth.views import (
    accounts as accounts,
    anomalies as anomalies,
    keys as keys,
    link_pages as link_pages,
    personal as personal,
    recovery as recovery,
    sessions as sessions,
    setup as setup,
    users as users,
)
from plugins.auth.views.routes import pages as pages, routes as routes, well_known as well_known
