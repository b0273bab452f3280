"""A route under a prefix that is not the plugin's."""

from core.trust import public
from core.web import Routes

routes = Routes(__name__, url_prefix="/elsewhere")


@routes.get("/here")
@public
def here() -> None:
    """A view."""
