"""The worker: runs jobs, and the duties that belong to workers. ``python -m core.worker``"""

# The patch comes before any import that might bind a socket, a lock or a thread.
from gevent import monkey

monkey.patch_all()

from core.app import boot  # noqa: E402
from core.background import duties  # noqa: E402
from core.background.queue import consume  # noqa: E402


def main() -> None:
    app = boot("worker")
    duties.start(app)
    try:
        consume(app, leaving=duties.leave)
    finally:
        duties.stop()


if __name__ == "__main__":
    main()
