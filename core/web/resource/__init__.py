"""A model in, a REST resource out: lists, changes, bulk, history, declared in a few lines beside a plugin's views.

    Resource(
        routes, "/books", BOOK, out=BookOut, body=BookBody,
        filters=("title", "created_at"), sorts=("-created_at", "title"),
    )

``out`` names what a client sees, field by field as in the model; ``body`` what it may write. Everything else follows:
permissions, scopes, validation, pages, entity tags, the audit log, OpenAPI. Nothing here knows SQL but ``sql_store``.
"""

from __future__ import annotations

from core.web.resource.declaration import ACTIONS as ACTIONS, Resource as Resource
from core.web.resource.shapes import Computed as Computed, Many as Many, One as One
