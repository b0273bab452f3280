"""A plugin as an author would write one, installed for the tests only: books on a shelf."""

from core.contracts import PersonalData
from core.registry import Plugin
from shelf.settings import Settings

plugin = Plugin(
    name="shelf",
    package=__name__,
    settings=Settings,
    provides={PersonalData: "shelf.personal:ReaderData"},
    permissions=("shelf:read", "shelf:write"),
    default_grants={"user": ("shelf:read",), "editor": ("shelf:read", "shelf:write")},
)
