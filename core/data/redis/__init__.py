"""Redis: the process's one pool, key names, scripts, and notices that reach every process of the board."""

from core.data.redis.cache import NoticedCache, clear_caches
from core.data.redis.notices import ANY, notices_live, notify_all, on_notice
from core.data.redis.pool import board_key, client, dedicated, init_app, key, script

__all__ = [
    "ANY",
    "NoticedCache",
    "board_key",
    "clear_caches",
    "client",
    "dedicated",
    "init_app",
    "key",
    "notices_live",
    "notify_all",
    "on_notice",
    "script",
]
