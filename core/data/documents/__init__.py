"""MongoDB through mongoengine, for plugins that keep documents.

Nothing here is imported until it is used: pymongo costs a process 5 MB and mongoengine another 4, and half a second
or more. ``ping`` needs pymongo alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.data.documents.base import TenantDocument as TenantDocument, collection_of as collection_of
    from core.data.documents.checks import (
        document_faults as document_faults,
        ensure_indexes as ensure_indexes,
        searches_text as searches_text,
    )
    from core.data.documents.fenced import TenantQuerySet as TenantQuerySet
    from core.data.documents.store import client as client, database_for as database_for, ping as ping

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "TenantDocument": "core.data.documents.base:TenantDocument",
        "TenantQuerySet": "core.data.documents.fenced:TenantQuerySet",
        "client": "core.data.documents.store:client",
        "collection_of": "core.data.documents.base:collection_of",
        "database_for": "core.data.documents.store:database_for",
        "document_faults": "core.data.documents.checks:document_faults",
        "ensure_indexes": "core.data.documents.checks:ensure_indexes",
        "ping": "core.data.documents.store:ping",
        "searches_text": "core.data.documents.checks:searches_text",
    },
)
