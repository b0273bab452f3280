"""The scheduler: runs duties until it is told to end; one is enough, more are harmless. ``python -m core.scheduler``"""

# The patch comes before any import that might bind a socket, a lock or a thread.
from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import signal  # noqa: E402
from threading import Event  # noqa: E402

from core.app import boot  # noqa: E402
from core.background import duties  # noqa: E402

log = logging.getLogger("core.scheduler")


def main() -> None:
    ended = Event()
    app = boot("scheduler")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: ended.set())
    duties.start(app)
    log.info("scheduler is ready")
    # Waking now and then lets Python see a signal that came while the loop slept.
    while not ended.wait(0.2):
        pass
    duties.stop()
    log.info("scheduler has ended")


if __name__ == "__main__":
    main()
