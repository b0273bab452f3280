"""``Routes``: a plugin's routes. The manifest gives the prefix, decorators say who may call, the signature the rest.

    routes = Routes(__name__)

    @routes.post("/books")
    @requires("books:write")
    @limited("10/minute", by="ip")
    def add_book(body: NewBook) -> Created[BookOut]:
        '''Put a book on the shelf.'''
        book = services.add(body.title)
        return Created(out(book), location=f"/api/shelf/books/{book.id}")

The view stays the plain function that it is, so that a test may call it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Flask

from core.errors import BootError
from core.web import throttling
from core.web.confined import Confined
from core.web.endpoint import Endpoint
from core.web.idempotency import keyless
from core.web.throttling import limited

if TYPE_CHECKING:
    from flask.sansio.app import App

__all__ = ["Endpoint", "Routes", "endpoints", "keyless", "limited"]

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

V = TypeVar("V", bound=Callable[..., Any])


class Routes(Confined):
    """A Flask blueprint whose views are endpoints; mounted at ``/api/<plugin>``, with ``pages=True`` at ``/<plugin>``.

    With a ``url_prefix`` they stand there instead, for paths that the manifest lists in ``public_paths``. A page's view
    may return ``str``, and templates are found in the plugin's ``templates/`` folder.
    """

    def __init__(self, import_name: str, *, pages: bool = False, url_prefix: str | None = None) -> None:
        package = import_name.partition(".views")[0]
        name = package.rpartition(".")[2]
        super().__init__(name, package, url_prefix=url_prefix, template_folder="templates")
        self.pages = pages
        self.endpoints: list[Endpoint] = []

    def route(self, rule: str, **options: Any) -> Callable[[V], V]:
        """Add a view under ``rule``. Routes may be stacked on one view."""

        if not isinstance(rule, str):
            raise BootError("a route is declared without its rule; write it as @routes.get('/books')")
        given = options.pop("methods", ("GET",))

        def decorate(view: V) -> V:
            methods = _methods(view, given)
            endpoint = Endpoint(view, rule, methods, pages=self.pages)
            self.endpoints.append(endpoint)
            same = sum(other.__name__ == view.__name__ for other in self.endpoints)
            name = options.pop("endpoint", view.__name__ if same == 1 else f"{view.__name__}_{same}")
            self.add_url_rule(rule, name, endpoint, methods=methods, **options)
            return view

        return decorate

    # Flask's own types know no view that returns what ours do.

    def get(self, rule: str, **options: Any) -> Callable[[V], V]:
        return self.route(rule, methods=["GET"], **options)

    def post(self, rule: str, **options: Any) -> Callable[[V], V]:
        return self.route(rule, methods=["POST"], **options)

    def put(self, rule: str, **options: Any) -> Callable[[V], V]:
        return self.route(rule, methods=["PUT"], **options)

    def patch(self, rule: str, **options: Any) -> Callable[[V], V]:
        return self.route(rule, methods=["PATCH"], **options)

    def delete(self, rule: str, **options: Any) -> Callable[[V], V]:
        return self.route(rule, methods=["DELETE"], **options)

    def register(self, app: App, options: dict[str, Any]) -> None:
        if "pegboard.rate" not in app.extensions:
            throttling.init_app(cast(Flask, app))
        for endpoint in self.endpoints:
            endpoint.plugin = options.get("name", self.name).partition(".")[0]
        super().register(app, options)

    def faults(self) -> list[str]:
        """What keeps these routes from being mounted: one line each, naming module, function and cure."""
        return [fault for endpoint in self.endpoints for fault in endpoint.faults()]


def _methods(view: Callable[..., Any], given: Any) -> tuple[str, ...]:
    name = f"{view.__module__}:{view.__qualname__}"
    if isinstance(given, str):
        raise BootError(f"{name}: methods={given!r} is a text; write methods=[{given!r}]")
    methods = tuple(str(method).upper() for method in given)
    if strange := ", ".join(sorted(set(methods) - METHODS)):
        raise BootError(f"{name}: methods has {strange}, which is none of HTTP's; use {', '.join(sorted(METHODS))}")
    return methods


def endpoints(app: Flask) -> Iterator[Endpoint]:
    """Every endpoint that is mounted; its full rule is in ``app.url_map``."""
    for view in app.view_functions.values():
        if isinstance(view, Endpoint):
            yield view
