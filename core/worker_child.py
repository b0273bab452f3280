"""The template of a worker's processes for jobs that compute. ``python -m core.worker_child N``, N being a socket.

A worker starts it when it first needs it; gevent patches nothing here.
"""

from __future__ import annotations

import socket
import sys

from core.app import boot
from core.background.queue.template import POOL, serve


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as control:
        control.setblocking(True)  # gevent made it otherwise
        serve(boot("worker", pool=POOL), control)


if __name__ == "__main__":
    main()
