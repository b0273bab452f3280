"""The web process: gunicorn imports ``wsgi:app``. The patch comes before every other import, or locks made earlier
would block the loop.

``os`` and ``signal`` stay as they are in gunicorn's master, which would otherwise never hear that a worker has died;
each worker patches them for itself after the fork.
"""

from gevent import monkey

monkey.patch_all(os=False, signal=False, subprocess=False)

from core.app import boot  # noqa: E402

app = boot("web")
