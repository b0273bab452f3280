"""A worker or scheduler that imports at once what the board imports late: ``python -m benchmarks.levers_eager worker``.

``LEVERS_EAGER`` names the modules. They come after the boot, as they would if the board's own modules imported them at
the top, and after gevent's patch, which the head makes when it is imported: this module imports nothing that has locks.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from typing import Any


def bring(words: list[str]) -> None:
    """Import each; a name that turns out to be no module came from ``from package import name``."""
    for word in words:
        with contextlib.suppress(ModuleNotFoundError):
            import_module(word)


def bring_named() -> None:
    bring(os.environ.get("LEVERS_EAGER", "").split())


def main() -> None:
    head: Any = import_module(f"core.{sys.argv[1]}")
    boot = head.boot

    def boot_eagerly(kind: str) -> Any:
        app = boot(kind)
        bring_named()
        return app

    head.boot = boot_eagerly
    head.main()


if __name__ == "__main__":
    main()
