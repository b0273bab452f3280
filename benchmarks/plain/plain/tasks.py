from __future__ import annotations

from core.background import task
from core.trust import public


@task()
@public
def noop(text: str) -> None:
    pass
