"""Its name and its setting make RATE_LIMIT, which the board reads."""

from dataclasses import dataclass

from core.config import env
from core.registry import Plugin


@dataclass(frozen=True, kw_only=True)
class Settings:
    limit: int = env(default=5, doc="how many at once")


plugin = Plugin(name="rate", package=__name__, settings=Settings)
