"""Running one job in a child process: the child does it, and what it cannot tell any more is told for it here."""

from __future__ import annotations

import time

import msgspec
from flask import Flask
from gevent import Timeout

from core.background.queue.children import Child, Children, NoChild
from core.background.queue.running import NotBegun, Outcome, attempt, ended_outside, task_of
from core.background.queue.stories import Held
from core.background.queue.timeouts import JobTimeout
from core.data.outbox import Envelope

_decoder = msgspec.json.Decoder(Outcome)


class ProcessEnded(Exception):
    """A child ended while it ran a job: a crash, or the system's hand when memory was short."""


class Outside:
    """Attempts in the children of this worker."""

    def __init__(self, children: Children) -> None:
        self.children = children

    def attempt(self, envelope: Envelope, app: Flask, held: Held | None = None) -> Outcome:
        """As ``running.attempt``, but elsewhere; a job past its time is killed, whatever it does.

        Needs the app's context, and to be called in gevent's loop. A greenlet that is killed in it leaves no job behind
        that runs.
        """
        task = task_of(envelope)
        if task is None:
            return attempt(envelope, app, held)
        try:
            child = self.children.take()
        except NoChild as exc:
            return ended_outside(envelope, NotBegun(str(exc)), 0.0, app)
        began = time.monotonic()
        try:
            found = self._ask(child, msgspec.json.encode((envelope, held)), task.policy.timeout)
        except BaseException:
            self.children.kill(child)
            raise
        if isinstance(found, Outcome):
            self.children.put_back(child)
            return found
        self.children.kill(child)
        return ended_outside(envelope, found, time.monotonic() - began, app)

    def _ask(self, child: Child, job: bytes, seconds: float) -> Outcome | ProcessEnded | JobTimeout:
        try:
            with Timeout(seconds):
                told = child.ask(job)
        except Timeout:
            return JobTimeout.after(seconds)
        return ProcessEnded(child.ending()) if told is None else _decoder.decode(told)
