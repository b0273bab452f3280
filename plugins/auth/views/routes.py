"""The places that the views of this plugin hang on."""

from __future__ import annotations

from core.web import Routes

routes = Routes(__name__)
pages = Routes(__name__, pages=True)
well_known = Routes(__name__, url_prefix="/.well-known")
