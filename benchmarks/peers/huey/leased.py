"""A task that does nothing, for Huey's API on leases."""

import sys

if "greenlet" in sys.argv:  # the consumer's own options
    from gevent import monkey

    monkey.patch_all()

import os

from core.background.queue import LeasedHuey

huey = LeasedHuey("bench", url=os.environ["REDIS_URL"], secret=os.environ["SECRET_KEYS"])


@huey.task()
def noop(text: str) -> None:
    pass
