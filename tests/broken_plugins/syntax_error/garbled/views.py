"""A parenthesis was never closed."""

from core.web import Routes

routes = Routes(__name__


def view() -> None: ...
