"""A route that says nothing of who may call it."""

from core.web import Routes

routes = Routes(__name__)


@routes.get("/here")
def here() -> None:
    """A view."""
