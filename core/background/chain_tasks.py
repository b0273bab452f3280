"""The board's own tasks around groups: what could not be done by the script that settled a member on another queue."""

from __future__ import annotations

from core.background.queue import chaining, groups
from core.background.tasks import task
from core.data.envelopes import Envelope, Group, Then
from core.data.unit import in_steps
from core.trust.permissions import public


@task(retries=20, retry_delay=1.0)
@public
@in_steps
def count_in_group(group: Group, member: int, result: str, follower: Envelope) -> None:
    """A member that ran on another queue is done; ``follower`` begins once all are."""
    chaining.count(Then(group=group, member=member), result, follower)


@task(retries=20, retry_delay=1.0)
@public
@in_steps
def forget_group(group: Group) -> None:
    """Its results were used on another queue."""
    groups.apply(group, groups.forgotten(group))
