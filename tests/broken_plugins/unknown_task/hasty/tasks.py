"""The one task that there is."""

from core.background import task
from core.trust import public


@task()
@public
def hurry(speed: int) -> None:
    """Hurry."""
