"""A task that does nothing, for stock Huey."""

import sys

if "greenlet" in sys.argv:  # the consumer's own options
    from gevent import monkey

    monkey.patch_all()

import os

from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["REDIS_URL"])


@huey.task()
def noop(text: str) -> None:
    pass
