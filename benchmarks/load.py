"""A small load generator: so many connections, each sending its next request when the last was answered.

A process of its own, so that it never shares an interpreter with what it measures:
``python -m benchmarks.load URL --connections 16 --seconds 3 [--token T]`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import time
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
STALLED = 10.0  # seconds without any reply at all


class Client:
    """One keep-alive connection with one request under way."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.request = request
        self.socket = socket.create_connection(address, timeout=STALLED)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.began = 0.0

    def send(self) -> None:
        self.buffer = b""
        self.began = time.perf_counter()
        self.socket.sendall(self.request)

    def receive(self) -> bool | None:
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
        return None if len(body) < int(length[1]) else head.startswith(b"HTTP/1.1 200 ")


def load(url: str, connections: int, seconds: float, token: str = "") -> dict[str, float]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    request = (
        f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: application/json\r\n{authorization}\r\n".encode()
    )
    poll = select.epoll()
    clients: dict[int, Client] = {}
    for _ in range(connections):
        client = Client((host, port), request)
        clients[client.socket.fileno()] = client
        poll.register(client.socket, select.EPOLLIN)
    taken: list[float] = []
    failed = waiting = 0
    began = now = time.perf_counter()
    for client in clients.values():
        client.send()
        waiting += 1
    while waiting:
        ready = poll.poll(STALLED)
        if not ready:
            raise TimeoutError(f"no reply within {STALLED:.0f} s")
        for descriptor, _ in ready:
            client = clients[descriptor]
            good = client.receive()
            if good is None:
                continue
            now = time.perf_counter()
            taken.append(now - client.began)
            failed += not good
            if now - began < seconds:
                client.send()
            else:
                waiting -= 1
    for client in clients.values():
        client.socket.close()
    taken.sort()
    milliseconds = [round(taken[int(len(taken) * share)] * 1000, 2) for share in (0.5, 0.99)]
    return {
        "requests": len(taken),
        "failed": failed,
        "seconds": now - began,
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
    given = parser.parse_args()
    print(json.dumps(load(given.url, given.connections, given.seconds, given.token)))


if __name__ == "__main__":
    main()
