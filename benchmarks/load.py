"""A small load generator: so many connections, each sending its next request when the last was answered.

A process of its own, so that it never shares an interpreter with what it measures:
``python -m benchmarks.load URL --connections 16 --seconds 3 [--token T] [--rate N]`` prints one JSON object.

With a rate the loop is open: requests fall due at fixed moments, whether or not the last was answered, and are timed
from that moment, so that a server that stalls does not also hide it. With ``--post`` stdin holds the bodies (JSON:
``{"bodies": […], "carry": ""}``), which are sent in turn. Where ``carry`` names a field, each connection keeps to its
own body and takes that field over from each reply; the object printed then has the last ``bodies``. ``{unique}`` in a
body becomes a number that comes once.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import sys
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
STALLED = 10.0  # seconds without any reply at all

Body = dict[str, Any]


class Requests:
    """What is asked: one GET again and again, or POSTs from ever other addresses, the next body each time."""

    def __init__(self, url: str, token: str, bodies: list[Body] | None) -> None:
        parts = urlsplit(url)
        self.address = parts.hostname or "", parts.port or 80
        self.bodies = bodies
        self.sent = 0
        self.began = time.time_ns()
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self.head = (
            f"{'GET' if bodies is None else 'POST'} {target} HTTP/1.1\r\nHost: {self.address[0]}:{self.address[1]}\r\n"
            f"Accept: application/json\r\n{authorization}"
        )

    def next(self, own: Body | None = None) -> bytes:
        number = self.sent
        self.sent += 1
        if self.bodies is None:
            return f"{self.head}\r\n".encode()
        body = json.dumps(own or self.bodies[number % len(self.bodies)]).replace("{unique}", f"{self.began}-{number}")
        # The network that is set apart for benchmarks (RFC 2544).
        address = f"198.18.{number // 250 % 250}.{number % 250 + 1}"
        return (
            f"{self.head}X-Forwarded-For: {address}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class Client:
    """One keep-alive connection with at most one request under way; ``own`` is the body that it carries on."""

    def __init__(self, address: tuple[str, int], own: Body | None = None) -> None:
        self.own = own
        self.socket = socket.create_connection(address, timeout=STALLED)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.due = 0.0

    def send(self, request: bytes, due: float) -> None:
        self.buffer = b""
        self.due = due
        self.socket.sendall(request)

    def receive(self, carry: str) -> bool | None:
        """Whether the reply was good; ``None`` while it is not whole."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection")
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = LENGTH.search(head)
        if length is None:
            raise ValueError(f"a reply without a length: {head!r}")
        if len(body) < int(length[1]):
            return None
        good = head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 "))
        if good and self.own is not None:
            self.own = {carry: json.loads(body)[carry]}
        return good


def load(requests: Requests, clients: list[Client], seconds: float, rate: float = 0, carry: str = "") -> dict[str, Any]:
    by_socket = {client.socket: client for client in clients}
    idle = deque(clients)
    taken: list[float] = []
    failed = sent = 0
    began = answered = time.perf_counter()

    def moment() -> float:
        return began + sent / rate if rate else time.perf_counter()

    while True:
        due = moment()
        while idle and due <= time.perf_counter() and due - began < seconds:
            client = idle.popleft()
            client.send(requests.next(client.own), due)
            sent += 1
            due = moment()
        over = due - began >= seconds
        if over and len(idle) == len(clients):
            break
        paced = bool(rate and idle and not over)
        # Unlike epoll, it does not round the wait up to milliseconds.
        ready, _, _ = select.select(by_socket, (), (), max(0.0, due - time.perf_counter()) if paced else STALLED)
        if not ready and not paced:
            raise TimeoutError(f"no reply within {STALLED:.0f} s")
        for each in ready:
            client = by_socket[each]
            good = client.receive(carry)
            if good is None:
                continue
            answered = time.perf_counter()
            taken.append(answered - client.due)
            failed += not good
            idle.append(client)
    taken.sort()
    milliseconds = [round(taken[int(len(taken) * share)] * 1000, 2) for share in (0.5, 0.99)]
    return {
        "requests": len(taken),
        "failed": failed,
        "seconds": answered - began,
        "p50": milliseconds[0],
        "p99": milliseconds[1],
        "max": round(taken[-1] * 1000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--token", default="")
    parser.add_argument("--rate", type=float, default=0, help="requests a second, due at fixed moments")
    parser.add_argument("--post", action="store_true", help="POST the bodies that stdin holds")
    given = parser.parse_args()
    posts = json.load(sys.stdin) if given.post else {"bodies": None, "carry": ""}
    requests = Requests(given.url, given.token, posts["bodies"])
    own = posts["bodies"] if posts["carry"] else [None] * given.connections
    clients = [Client(requests.address, own[number]) for number in range(given.connections)]
    figures = load(requests, clients, given.seconds, given.rate, posts["carry"])
    if posts["carry"]:
        figures["bodies"] = [client.own for client in clients]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
