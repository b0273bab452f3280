"""It wants settings, and nobody gives it the right ones."""

from dataclasses import dataclass

from core.config import Secret, env
from core.registry import Plugin


@dataclass(frozen=True, kw_only=True)
class Settings:
    key: str = env(doc="where the other side is")
    size: int = env(default=1, doc="how many at once")
    password: Secret = env(doc="what the other side asks for")


plugin = Plugin(name="picky", package=__name__, settings=Settings)
