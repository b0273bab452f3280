"""Parse, call a service, reply: one module for each matter."""

from __future__ import annotations

from plugins.jobs.views import dead as dead, jobs as jobs, queues as queues, schedules as schedules
from plugins.jobs.views.routes import routes as routes
