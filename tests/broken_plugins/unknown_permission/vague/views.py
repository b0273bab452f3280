"""A permission that no manifest lists."""

from core.trust import requires
from core.web import Routes

routes = Routes(__name__)


@routes.get("/here")
@requires("vague:read")
def here() -> None:
    """A view."""
