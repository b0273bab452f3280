"""It names a variable that sender names too; the sender's address is the board's to share."""

from dataclasses import dataclass

from core.config import env
from core.registry import Plugin


@dataclass(frozen=True, kw_only=True)
class Settings:
    token: str = env("POSTBOX_KEY", default="")
    mail_from: str = env("EMAIL_FROM_ADDRESS", default="")


plugin = Plugin(name="texter", package=__name__, settings=Settings)
