"""Where the plugin's routes are gathered."""

from __future__ import annotations

from core.web import Routes

routes = Routes(__name__)
