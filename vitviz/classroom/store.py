"""Where the state of classes lies: in this process's memory, or in Redis for several servers.

Both hold a table of texts for each class, which is gone when nobody has kept it for a while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from vitviz.errors import VitvizError

__all__ = ["MemoryStore", "RedisStore", "Store", "store_of_this_server"]

REDIS_URL = "VITVIZ_REDIS_URL"
PATIENCE = 2.0  # seconds for an answer of Redis
# In one step: a table that has gone in between does not come again.
PUT = (
    "return redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HSET', KEYS[1], unpack(ARGV)) or -1"
)


class Store(Protocol):
    """Tables of texts by their names."""

    def open(self, table: str, fields: dict[str, str], seconds: float) -> None:
        """Begin a table, which is kept for so many seconds."""

    def keep(self, table: str, seconds: float) -> None:
        """Keep a table, where there is one, for so many seconds from now on."""

    def put(self, table: str, fields: dict[str, str]) -> bool:
        """Set these fields; False, and nothing, if there is no such table."""

    def get(self, table: str, fields: Sequence[str]) -> list[str | None]:
        """What some fields hold."""

    def all(self, table: str) -> dict[str, str]:
        """All fields of a table; nothing if there is none."""

    def remove(self, table: str, fields: Sequence[str]) -> None:
        """Forget some fields."""

    def forget(self, table: str) -> None:
        """Forget a table."""

    def forget_old(self) -> None:
        """Forget the tables whose time is over, where that does not happen by itself."""


class MemoryStore:
    """For one server.

    Example:
        >>> store = MemoryStore()
        >>> store.open("class", {"lesson": "attention"}, seconds=60)
        >>> store.put("class", {"Ada": "2"}), store.put("another", {"Ada": "2"})
        (True, False)
        >>> store.get("class", ["Ada", "Bo"])
        ['2', None]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tables: dict[str, dict[str, str]] = {}
        self._until: dict[str, float] = {}
        self._lock = threading.RLock()

    def open(self, table: str, fields: dict[str, str], seconds: float) -> None:
        """See Store."""
        with self._lock:
            self._tables[table] = dict(fields)
            self._until[table] = self._clock() + seconds

    def keep(self, table: str, seconds: float) -> None:
        """See Store."""
        with self._lock:
            if self._found(table) is not None:
                self._until[table] = self._clock() + seconds

    def put(self, table: str, fields: dict[str, str]) -> bool:
        """See Store."""
        with self._lock:
            found = self._found(table)
            if found is None:
                return False
            found.update(fields)
            return True

    def get(self, table: str, fields: Sequence[str]) -> list[str | None]:
        """See Store."""
        with self._lock:
            found = self._found(table) or {}
            return [found.get(field) for field in fields]

    def all(self, table: str) -> dict[str, str]:
        """See Store."""
        with self._lock:
            return dict(self._found(table) or {})

    def remove(self, table: str, fields: Sequence[str]) -> None:
        """See Store."""
        with self._lock:
            found = self._found(table) or {}
            for field in fields:
                found.pop(field, None)

    def forget(self, table: str) -> None:
        """See Store."""
        with self._lock:
            self._tables.pop(table, None)
            self._until.pop(table, None)

    def forget_old(self) -> None:
        """See Store."""
        with self._lock:
            for table in list(self._tables):
                self._found(table)

    def _found(self, table: str) -> dict[str, str] | None:
        if self._until.get(table, 0.0) <= self._clock():
            self.forget(table)
        return self._tables.get(table)


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
        try:
            self._redis: Any = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
            )
        except ValueError as error:
            raise VitvizError(
                "redis_address",
                "{setting} is no address of a Redis server, such as redis://localhost:6379.",
                setting=REDIS_URL,
            ) from error

    def open(self, table: str, fields: dict[str, str], seconds: float) -> None:
        """See Store."""
        both = self._redis.pipeline()
        both.hset(_name(table), mapping=fields)
        both.pexpire(_name(table), int(seconds * 1000))
        self._asked(both.execute)

    def keep(self, table: str, seconds: float) -> None:
        """See Store."""
        self._asked(lambda: self._redis.pexpire(_name(table), int(seconds * 1000)))

    def put(self, table: str, fields: dict[str, str]) -> bool:
        """See Store."""
        texts = [text for pair in fields.items() for text in pair]
        return self._asked(lambda: self._redis.eval(PUT, 1, _name(table), *texts)) >= 0

    def get(self, table: str, fields: Sequence[str]) -> list[str | None]:
        """See Store."""
        return self._asked(lambda: self._redis.hmget(_name(table), list(fields)))

    def all(self, table: str) -> dict[str, str]:
        """See Store."""
        return self._asked(lambda: self._redis.hgetall(_name(table)))

    def remove(self, table: str, fields: Sequence[str]) -> None:
        """See Store."""
        if fields:
            self._asked(lambda: self._redis.hdel(_name(table), *fields))

    def forget(self, table: str) -> None:
        """See Store."""
        self._asked(lambda: self._redis.delete(_name(table)))

    def forget_old(self) -> None:
        """Redis does."""

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except self._lost as error:
            raise VitvizError(
                "redis_lost", "Live classes cannot be reached at the moment; try again soon."
            ) from error


def _name(table: str) -> str:
    return f"vitviz:{table}"


def store_of_this_server() -> Store:
    """In Redis where VITVIZ_REDIS_URL names a server, else in memory."""
    url = os.environ.get(REDIS_URL)
    return RedisStore(url) if url else MemoryStore()
