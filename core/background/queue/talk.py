"""What a worker, its template and its children say to each other, over sockets that nobody else holds.

With a child: JSON, its length before it. With the template: records of one size, so that a descriptor can go with one.
"""

from __future__ import annotations

import socket
import struct

RECORD = struct.Struct("!cii")
"""What it is about, and two numbers."""
FORK, KILL, ENDED = b"f", b"k", b"e"
"""``FORK`` number (and a socket) is answered with ``FORK`` number pid, pid 0 where it could not be done; ``KILL`` pid;
``ENDED`` pid status, a negative status being the signal that it ended by."""
_LENGTH = struct.Struct("!I")


def send(to: socket.socket, message: bytes) -> None:
    to.sendall(_LENGTH.pack(len(message)) + message)


def receive(source: socket.socket) -> bytes | None:
    """The next message, or ``None`` once the other end is closed."""
    length = exactly(source, _LENGTH.size)
    return None if length is None else exactly(source, *_LENGTH.unpack(length))


def exactly(source: socket.socket, size: int) -> bytes | None:
    """So many bytes, or ``None`` where the other end closes before."""
    found = bytearray()
    while len(found) < size:
        try:
            more = source.recv(size - len(found))
        except ConnectionError:
            return None
        if not more:
            return None
        found += more
    return bytes(found)
