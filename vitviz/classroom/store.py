"""Where the state of classes lies: in this process's memory, or in Redis for several servers.

Both hold tables, text by text, and know four things to do with one; a table that is not touched for
a while is gone. The names are those of Redis's hashes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from vitviz.errors import VitvizError

__all__ = ["MemoryStore", "RedisStore", "Store", "store_of_this_server"]

REDIS_URL = "VITVIZ_REDIS_URL"
PATIENCE = 2.0  # seconds for an answer of Redis


class Store(Protocol):
    """Tables of texts by their names."""

    def get(self, table: str) -> dict[str, str]:
        """All fields of a table; nothing if there is none."""

    def put(self, table: str, fields: dict[str, str], seconds: float) -> None:
        """Set these fields; the table is kept for so many seconds from now on."""

    def remove(self, table: str, field: str) -> None:
        """Forget one field."""

    def touch(self, tables: list[str], seconds: float) -> None:
        """Keep these tables, where there are such, for so many seconds from now on."""

    def forget(self, tables: list[str]) -> None:
        """Forget whole tables."""


class MemoryStore:
    """For one server.

    Example:
        >>> store = MemoryStore()
        >>> store.put("answers", {"Ada": "2"}, seconds=60)
        >>> store.get("answers")
        {'Ada': '2'}
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tables: dict[str, tuple[dict[str, str], float]] = {}  # with the time when it goes
        self._lock = threading.Lock()

    def get(self, table: str) -> dict[str, str]:
        """See Store."""
        with self._lock:
            self._forget_old()
            return dict(self._tables.get(table, ({}, 0.0))[0])

    def put(self, table: str, fields: dict[str, str], seconds: float) -> None:
        """See Store."""
        with self._lock:
            self._forget_old()
            held, _ = self._tables.get(table, ({}, 0.0))
            self._tables[table] = {**held, **fields}, self._clock() + seconds

    def remove(self, table: str, field: str) -> None:
        """See Store."""
        with self._lock:
            self._tables.get(table, ({}, 0.0))[0].pop(field, None)

    def touch(self, tables: list[str], seconds: float) -> None:
        """See Store."""
        with self._lock:
            self._forget_old()
            for table in self._tables.keys() & tables:
                self._tables[table] = self._tables[table][0], self._clock() + seconds

    def forget(self, tables: list[str]) -> None:
        """See Store."""
        with self._lock:
            for table in tables:
                self._tables.pop(table, None)

    def _forget_old(self) -> None:
        now = self._clock()
        for table in [name for name, (_, until) in self._tables.items() if until <= now]:
            del self._tables[table]


class RedisStore:
    """For several servers that share a Redis server.

    Raises:
        VitvizError: from every method, where Redis does not answer.
    """

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError:
            raise VitvizError(
                "no_redis_package",
                "{setting} is set, and the package that speaks to Redis is missing: "
                "pip install 'vitviz[redis]'.",
                setting=REDIS_URL,
            ) from None
        self._lost = redis.RedisError
        self._redis: Any = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
        )

    def get(self, table: str) -> dict[str, str]:
        """See Store."""
        return self._asked(lambda: self._redis.hgetall(_name(table)))

    def put(self, table: str, fields: dict[str, str], seconds: float) -> None:
        """See Store."""
        both = self._redis.pipeline()
        both.hset(_name(table), mapping=fields)
        both.pexpire(_name(table), int(seconds * 1000))
        self._asked(both.execute)

    def remove(self, table: str, field: str) -> None:
        """See Store."""
        self._asked(lambda: self._redis.hdel(_name(table), field))

    def touch(self, tables: list[str], seconds: float) -> None:
        """See Store."""
        all_at_once = self._redis.pipeline()
        for table in tables:
            all_at_once.pexpire(_name(table), int(seconds * 1000))
        self._asked(all_at_once.execute)

    def forget(self, tables: list[str]) -> None:
        """See Store."""
        self._asked(lambda: self._redis.delete(*map(_name, tables)))

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except self._lost as error:
            raise VitvizError(
                "redis_lost",
                "Live classes cannot be reached at the moment; the page tries again by itself.",
            ) from error


def _name(table: str) -> str:
    return f"vitviz:{table}"


def store_of_this_server() -> Store:
    """In Redis where VITVIZ_REDIS_URL names a server, else in memory."""
    url = os.environ.get(REDIS_URL)
    return RedisStore(url) if url else MemoryStore()
