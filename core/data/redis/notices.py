"""Notices: a name and a key that reach every process of the board, to say that something changed.

A notice is told once and not kept. Who listens must bear a lost one: ``notices_live()`` says whether one may have been
lost, and ``lost`` callbacks are called once they flow again. Notices are for "look again", never for work.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from core.data.redis.pool import Here, Server, here, on_first_use, servers

log = logging.getLogger(__name__)

ANY = "*"  # as a key: everything under the name; as a name: everything

BEAT = 0.5  # seconds of silence before asking whether the server is there
LIVE_WITHIN = 2 * BEAT  # silence for longer than this counts as down
LONGEST_PAUSE = 2.0  # between attempts to connect again
NEVER = float("-inf")
UNSENT = 1000  # notices kept while Redis is away; past that, one that says "everything"

# Of our own: the shared one belongs to whoever has seeded it.
_dice = random.Random()

Notice = tuple[str, str, str]  # sender, name, key

_listeners: dict[str, list[Callable[[str], None]]] = {}
_when_lost: list[Callable[[], None]] = []

# What caches need besides: which server it was. Filled by core.data.redis.cache.
on_change: list[Callable[[Server, str, str], None]] = []


def on_notice(name: str, fn: Callable[[str], None], *, lost: Callable[[], None] | None = None) -> None:
    """Call ``fn(key)`` in this process for each notice ``name``, and ``lost()`` when some may have been missed.

    Both run in the subscription's thread, without an app context, or in that of ``notify_all``: be quick, bear being
    told twice. May be called at import or boot; listening begins when the process first uses Redis.
    """
    _listeners.setdefault(name, []).append(fn)
    if lost:
        _when_lost.append(lost)
    for server in servers():
        if mine := server.here_or_none():
            listen(mine)


def notify_all(name: str, key: str = ANY) -> None:
    """Tell every process of the board, this one before returning. Call it after the commit.

    While Redis is away the notice is kept and sent when it is back; nothing is raised.
    """
    from redis.exceptions import RedisError

    mine = here()
    _tell(mine.server, name, key)
    subscription = mine.subscriptions[0] if mine.subscriptions else None
    if subscription and subscription.unsent:
        subscription.keep(name, key)
        return
    try:
        _publish(mine, name, key)
    except RedisError as exc:
        log.warning("a notice waits until Redis is back: %s", exc, extra={"notice": name})
        listen(mine).keep(name, key)


def notices_live() -> bool:
    """Whether notices reach this process: it is subscribed, and has heard from Redis within the last second."""
    mine = here()
    return bool(mine.subscriptions) and mine.subscriptions[0].live()


def listen(mine: Here) -> Subscription:
    """This process's one subscription, begun where there is none."""
    if not mine.subscriptions:
        fresh = Subscription(mine)
        mine.subscriptions.append(fresh)
        # Of two threads that were here at once, both know which one is first.
        if mine.subscriptions[0] is fresh:
            fresh.start()
    return mine.subscriptions[0]


def _begin(mine: Here) -> None:
    if _listeners:
        listen(mine)


on_first_use.append(_begin)


class Subscription:
    """Listens on the board's channel, for as long as the process lives; connects again by itself."""

    def __init__(self, mine: Here) -> None:
        self.mine = mine
        self.unsent: deque[tuple[str, str]] = deque()
        self._heard = NEVER
        self._stopped = False

    def start(self) -> None:
        # A daemon: it holds nothing that must be finished. A greenlet where gevent has patched.
        threading.Thread(target=self._run, name="redis-notices", daemon=True).start()

    def stop(self) -> None:
        """Listen no more, at the next beat."""
        self._stopped = True

    def live(self) -> bool:
        return time.monotonic() - self._heard < LIVE_WITHIN

    def keep(self, name: str, key: str) -> None:
        if len(self.unsent) >= UNSENT:
            self.unsent.clear()
            name = key = ANY
        self.unsent.append((name, key))

    def _run(self) -> None:
        from redis.exceptions import RedisError

        pool = self.mine.client.connection_pool
        connection = pool.connection_class(**pool.connection_kwargs)
        pause = 0.05
        while not self._stopped:
            try:
                self._listen(connection)
            except (RedisError, OSError) as exc:
                if self._heard > NEVER:
                    log.warning("notices do not arrive, caches live for 1 s until they do: %s", exc)
                    pause = 0.05
            except Exception:  # whatever it was, the process must not go deaf
                log.exception("listening for notices failed")
            self._heard = NEVER
            connection.disconnect()
            time.sleep(pause * _dice.uniform(0.5, 1))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _listen(self, connection: Any) -> None:
        from redis.exceptions import TimeoutError

        connection.connect()
        connection.send_command("SUBSCRIBE", channel(self.mine), check_health=False)
        connection.read_response()
        # From here on nothing is missed; what changed before must be looked at again.
        _tell(self.mine.server, ANY, ANY)
        self._heard = time.monotonic()
        asked = False
        while not self._stopped:
            if self.unsent:
                self._send_again()
            try:
                reply = connection.read_response(timeout=BEAT, disconnect_on_error=False)
            except TimeoutError:
                if asked:
                    raise
                connection.send_command("PING", check_health=False)
                asked = True
                continue
            asked = False
            self._heard = time.monotonic()
            if reply[0] == b"message":
                self._receive(reply[2])

    def _receive(self, payload: bytes) -> None:
        try:
            sender, name, key = msgspec.json.decode(payload, type=Notice)
        except msgspec.MsgspecError:
            log.warning("something that is no notice came over the notice channel")
            return
        if sender != self.mine.sender:
            _tell(self.mine.server, name, key)

    def _send_again(self) -> None:
        from redis.exceptions import RedisError

        while self.unsent:
            notice = self.unsent.popleft()
            try:
                _publish(self.mine, *notice)
            except RedisError:
                self.unsent.appendleft(notice)
                return  # the next beat tries again


def channel(mine: Here) -> str:
    """Channels are shared by all of a server's databases, so the number is part of the name."""
    return f"pb:-:notices:{mine.client.connection_pool.connection_kwargs.get('db', 0)}"


def _publish(mine: Here, name: str, key: str) -> None:
    mine.client.publish(channel(mine), msgspec.json.encode((mine.sender, name, key)))


def _tell(server: Server, name: str, key: str) -> None:
    for hook in on_change:
        hook(server, name, key)
    called = _when_lost if name == ANY else [lambda fn=fn: fn(key) for fn in _listeners.get(name, ())]
    for call in list(called):
        try:
            call()
        except Exception:
            log.exception("a listener for notices failed", extra={"notice": name})
