"""What happens later: tasks, events, duties."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core._face import face

if TYPE_CHECKING:
    from core.background.chains import enqueue_chain as enqueue_chain, enqueue_group as enqueue_group, step as step
    from core.background.duties import duty as duty
    from core.background.effects import once as once
    from core.background.events import emit as emit, on as on
    from core.background.job import current_job as current_job
    from core.background.queue.gates import AtOnce as AtOnce, Rate as Rate
    from core.background.schedules.declared import Schedule as Schedule
    from core.background.tasks import (
        enqueue as enqueue,
        enqueue_in as enqueue_in,
        enqueue_many as enqueue_many,
        task as task,
    )

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "task": "core.background.tasks:task",
        "enqueue": "core.background.tasks:enqueue",
        "enqueue_in": "core.background.tasks:enqueue_in",
        "enqueue_many": "core.background.tasks:enqueue_many",
        "step": "core.background.chains:step",
        "enqueue_chain": "core.background.chains:enqueue_chain",
        "enqueue_group": "core.background.chains:enqueue_group",
        "on": "core.background.events:on",
        "emit": "core.background.events:emit",
        "duty": "core.background.duties:duty",
        "AtOnce": "core.background.queue.gates:AtOnce",
        "Rate": "core.background.queue.gates:Rate",
        "Schedule": "core.background.schedules.declared:Schedule",
        "current_job": "core.background.job:current_job",
        "once": "core.background.effects:once",
    },
)
