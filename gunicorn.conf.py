"""How gunicorn runs the board; found by its name. Addresses and numbers come from the board's own settings.

This is read before ``wsgi.py`` patches for gevent: at the top it may import nothing that makes a lock.
"""

from __future__ import annotations

import gc
import os
import resource
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from core.config import BoardSettings, load
from core.errors import BootError
from core.web.wire import adopt


def _settings() -> BoardSettings:
    try:
        return load(os.environ)
    except BootError:
        # It ends here, so what the board imports does no harm: it knows of the plugins' faults too, and tells all.
        from core.app import boot

        boot("web")
        raise


settings = _settings()

# What gunicorn refuses before the board sees it (414, 431, broken HTTP) is told as the board tells everything else.
adopt()

bind = f"{'127.0.0.1' if settings.development else '0.0.0.0'}:{settings.port}"  # noqa: S104
workers = settings.web_concurrency
worker_class = "core.web.serving.Worker"  # gevent's, with an orderly end
worker_connections = 12_000  # the default, 1,000, is far below what a worker carries
backlog = 2048

# The board is imported once, in the master; what it then holds is shared by the workers until they write to it, and
# the collector writes to all that it looks at. Pools and clients are made after the fork, on first use.
preload_app = True

timeout = 30  # a worker whose loop has not turned for so long is killed
graceful_timeout = 24  # then what is left is killed; platforms send SIGKILL 30 s after SIGTERM
keepalive = 75  # longer than the routers in front keep theirs, so that they never send into a closing connection

# Small enough that a worker's memory is its own, large enough that the board answers 414 and 431 in its own words.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

# Whom to believe about the client's address and scheme, TRUSTED_PROXIES decides in the board. gunicorn believes nobody.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

# What every worker would import for itself, the first as it patches, the last with its first figure.
SHARED = ("gevent.signal", "gevent.subprocess", "gevent.threadpool", "gevent.resolver.thread", "prometheus_client")

control_socket_disable = True  # it would lie in the home folder, one for all boards
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a heartbeat must not wait for a disk

accesslog = None  # the board logs each request itself, as JSON, with tenant and user
errorlog = "-"
loglevel = settings.log_level.lower()


def on_starting(server: Any) -> None:
    """Let each process open as many sockets as the system permits it, and give the workers' figures a place."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    from core import telemetry
    from core.web.serving import mind_early_signals

    telemetry.prepare_multiprocess()
    mind_early_signals()


def when_ready(server: Any) -> None:
    """Before the first fork: what is alive now will stay, so let no collection touch (and copy) it."""
    for name in SHARED:
        import_module(name)
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    """The worker patches what ``wsgi.py`` left alone in the master; gevent would warn of that in every worker's log."""
    warnings.filterwarnings("ignore", "Patching more than once", category=Warning)


def post_worker_init(worker: Any) -> None:
    from core.background import duties

    duties.start(worker.wsgi)


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """Give the loop a turn: a connection whose next request is there already would be served on, the others not."""
    import gevent

    # A timer, not 0: that would be a callback, of which the loop runs fifty before it looks whether any socket is
    # ready. Whoever waits for a database would be overtaken by so many requests at each of its waits.
    gevent.sleep(1e-9)


def worker_exit(server: Any, worker: Any) -> None:
    from core.background import duties

    duties.stop()
    gc.unfreeze()  # what the interpreter cannot collect at its end it takes apart in the wrong order, with complaints


def on_exit(server: Any) -> None:
    gc.unfreeze()


def child_exit(server: Any, worker: Any) -> None:
    from core import telemetry

    telemetry.child_exit(worker.pid)
