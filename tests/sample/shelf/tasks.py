from uuid import UUID

from core.background import task
from core.trust import signed_in
from shelf import services


@task(retries=2, retry_delay=0.1)
@signed_in
def count(book_id: UUID) -> None:
    """Leaves a mark once for each time that it ran."""
    services.leave_mark(f"counted {book_id}")


@task(retries=1, retry_delay=0.1)
@signed_in
def stumble(note: str) -> None:
    """Fails after it has written: nothing of it may stay."""
    services.leave_mark(note)
    raise RuntimeError("the shelf fell over")
