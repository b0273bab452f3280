"""``docs/errors.md``, written from the catalogue: ``python -m core.ops.error_docs [--check]``.

A plugin declares its codes in its ``api.py``; those of every installed plugin are in the list.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from itertools import groupby
from pathlib import Path

from werkzeug.http import HTTP_STATUS_CODES

from core.errors import CATALOGUE, Code
from core.registry.discovery import GROUP
from core.web.validation import FIELD_CODES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"

HEAD = """\
# Error codes

*Written by `python -m core.ops.error_docs`; do not edit.*

An error is told as `application/problem+json` (RFC 9457):

```json
{"type": "urn:pegboard:error:NOT_FOUND", "title": "Nothing here", "status": 404, "code": "NOT_FOUND",
 "detail": "…", "errors": [], "request_id": "…"}
```

`code` is stable: write your program against it and against `status`. `title` and `detail` are for people and may
change. 429 and 503 say in `Retry-After` how many seconds to wait. A socket tells the same codes in `error` frames.

Where single values are at fault, `errors` names each one: its `field` (`$.lines[2].amount` in a body, the bare name
of a query parameter), a `code` (one of {field_codes}, or a plugin's own) and a `detail`.
"""


def load_codes() -> Iterable[Code]:
    """Every code of the board and of the installed plugins."""
    for point in entry_points(group=GROUP):
        name = f"{point.module}.api"
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)
    return CATALOGUE.values()


def render(codes: Iterable[Code]) -> str:
    """The whole page: a table for each status."""
    parts = [HEAD.replace("{field_codes}", ", ".join(f"`{code}`" for code in FIELD_CODES))]
    for status, group in groupby(
        sorted(codes, key=lambda code: (code.status, code.name)), key=lambda code: code.status
    ):
        parts.append(f"\n## {status} {HTTP_STATUS_CODES[status]}\n\n| code | meaning |\n|---|---|\n")
        parts.extend(f"| `{code.name}` | {code.title} |\n" for code in group)
    return "".join(parts)


def main(arguments: list[str]) -> int:
    page = render(load_codes())
    if "--check" in arguments:
        if PAGE.is_file() and PAGE.read_text() == page:
            return 0
        print(f"{PAGE} is not what the catalogue says: run python -m core.ops.error_docs", file=sys.stderr)
        return 1
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
