"""A route that announces something."""

from clumsy.api import Rang
from core.background import emit
from core.trust import public
from core.web import Routes

routes = Routes(__name__)


@routes.post("/bell")
@public
def ring() -> None:
    """Ring the bell."""
    emit(Rang())
