"""Its news."""

import msgspec


class Rang(msgspec.Struct, frozen=True):
    """Somebody rang."""
