from core.background.events import on
from shelf import services
from shelf.api import BookAdded


@on(BookAdded)
def trip(event: BookAdded) -> None:
    """Fails on purpose, for a title that asks for it; the other listeners must not notice."""
    if event.title == "trip":
        raise RuntimeError("tripped")


@on(BookAdded)
def look(event: BookAdded) -> None:
    services.leave_mark(f"saw {event.title}")


@on(BookAdded, durable=True)
def remember(event: BookAdded) -> None:
    services.leave_mark(f"remembered {event.title}")
