"""Whoever waits for a store gets the next turn, however busily others are served meanwhile."""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from core.ops.processes import Process

FLOOD = 5000


def test_a_flood_of_light_requests_holds_up_nobody_who_asks_the_database(process: Callable[..., Process]) -> None:
    """Requests that are here already never let their greenlet wait: the loop must look at the others all the same."""
    web = process("web", RATE_LIMIT="0")
    place = urlsplit(web.url)
    answered = [0]

    def read(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                answered[0] += data.count(b"HTTP/1.1 200")

    def write(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(f"GET /livez HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode() * FLOOD)

    with socket.create_connection((place.hostname, place.port), timeout=60) as flood:
        both = [threading.Thread(target=each, args=(flood,)) for each in (read, write)]
        for each in both:
            each.start()
        while answered[0] < 100:
            time.sleep(0.01)
        overtaken = []
        for _ in range(5):
            before = answered[0]
            with urllib.request.urlopen(f"{web.url}/readyz", timeout=60) as reply:
                assert reply.status == 200
            overtaken.append(answered[0] - before)
        assert answered[0] < FLOOD, "the flood was over before"
        flood.shutdown(socket.SHUT_RDWR)
        for each in both:
            each.join(10)
    # The first opens connections to the stores, which is several waits.
    assert overtaken[0] < 200, overtaken
    assert statistics.median(overtaken) < 40, overtaken
