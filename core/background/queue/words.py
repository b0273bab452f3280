"""Texts that a task tells, as others will bear them: without secrets, not too long, and fit for JSON."""

from __future__ import annotations

from core.telemetry import scrub

LONGEST = 512
"""Characters of a message, a line of a job's log, an error."""


def legible(text: str) -> str:
    """Lone surrogates, which no UTF-8 can hold, become question marks."""
    return text.encode("utf-8", "replace").decode()


def fit(text: str, longest: int = LONGEST) -> str:
    """Legible, scrubbed, and cut where it is longer than so many characters."""
    # Scrubbed before it is cut: half a secret would no longer look like one. What is far beyond is not looked at.
    shown = scrub(legible(text[: longest * 8]))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def said(exc: BaseException, longest: int = LONGEST) -> str:
    """Its class and its words, as far as it has any that can be had."""
    try:
        words = str(exc)
    except Exception:
        words = "(it cannot be printed)"
    return fit(f"{type(exc).__name__}: {words}", longest)
