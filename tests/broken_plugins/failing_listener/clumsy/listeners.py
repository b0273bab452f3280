"""One listener that falls, and one behind it."""

import logging

from clumsy.api import Rang
from core.background import on

log = logging.getLogger(__name__)


@on(Rang)
def fall(event: Rang) -> None:
    raise RuntimeError("down the stairs")


@on(Rang)
def open_the_door(event: Rang) -> None:
    log.info("come in")
