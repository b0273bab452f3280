"""Many who refresh at once, on real processes: shared by the tests and the soak."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

PASSWORD = "correct horse battery"


def post(url: str, path: str, body: Any, forwarded: str = "") -> tuple[int, Any]:
    """``forwarded`` is who the request says that it comes from, for a board behind a proxy."""
    headers = {"Content-Type": "application/json"} | ({"X-Forwarded-For": forwarded} if forwarded else {})
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("POST", path, json.dumps(body), headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def register(url: str, email: str, forwarded: str = "") -> str:
    """A new account's refresh token."""
    body = {"email": email, "password": PASSWORD, "display_name": "Alice"}
    status, reply = post(url, "/api/auth/register", body, forwarded)
    assert status == 201, reply
    return str(reply["refresh_token"])


def refresh(url: str, token: str) -> tuple[int, Any]:
    """As any client does it: a server that is too busy just now (503) is asked again, a few times."""
    for _ in range(5):
        status, reply = post(url, "/api/auth/refresh", {"refresh_token": token})
        if status != 503:
            break
        time.sleep(0.5)
    return status, reply


def stampede(url: str, token: str, at_once: int) -> Counter[tuple[int, str]]:
    """Present one token so many times at once: how often which answer came; of a 200 its refresh token."""
    barrier = threading.Barrier(at_once)

    def one(_: int) -> tuple[int, str]:
        barrier.wait()
        status, reply = refresh(url, token)
        return status, reply["refresh_token"] if status == 200 else reply["code"]

    with ThreadPoolExecutor(at_once) as pool:
        return Counter(pool.map(one, range(at_once)))


def rounds(url: str, email: str, number: int, at_once: int, between: Callable[[], None] = lambda: None) -> None:
    """So many stampedes in a row: in each everybody gets one and the same successor."""
    token = register(url, email)
    for done in range(1, number + 1):
        answers = stampede(url, token, at_once)
        assert len(answers) == 1, f"round {done}: {answers}"
        ((status, successor),) = answers
        assert status == 200, answers
        assert successor.split(".")[3] == str(done + 1), "one rotation a round"
        between()
        token = successor


class Line:
    """One connection that is kept open, for many requests in a row."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def post(self, path: str, body: Any, forwarded: str = "") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"} | ({"X-Forwarded-For": forwarded} if forwarded else {})
        self.connection.request("POST", path, json.dumps(body), headers)
        reply = self.connection.getresponse()
        return reply.status, json.loads(reply.read())

    def refresh(self, token: str) -> tuple[int, Any]:
        return self.post("/api/auth/refresh", {"refresh_token": token})

    def close(self) -> None:
        self.connection.close()
