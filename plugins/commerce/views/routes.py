"""Where the rooms of this package hang their routes."""

from __future__ import annotations

from core.web import Routes

routes = Routes(__name__)
