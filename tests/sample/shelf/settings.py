from dataclasses import dataclass

from core.config import env


@dataclass(frozen=True, kw_only=True)
class Settings:
    room: int = env(default=1000, doc="books that one tenant may keep")
