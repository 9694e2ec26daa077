"""Answers in a Redis or Valkey, so that all processes and machines give the same. What it has may be lost at any time.

While it does not answer, calls go to their providers as if nothing were kept, and it is left alone for a few seconds each time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from typing import TypeVar

from typing_extensions import override

from skep.gateway.caching.entries import Entry, packed, unpacked
from skep.gateway.caching.interfaces import CacheAddressError
from skep.gateway.caching.stores import Store
from skep.gateway.caching.wordings import Put, packed_put, unpacked_put
from skep.observe import event

T = TypeVar("T")

_PREFIX = b"skep:answer:"
_PUT_PREFIX = b"skep:question:"
_ANSWER_SECONDS = 0.25
"""So long a call waits for it at most, twice if a connection has to be made; a provider takes longer as a rule."""

_CONNECTIONS = 32
_AWAY_SECONDS = 5.0
"""It is left alone for so long after it did not answer."""

_log = logging.getLogger(__name__)


class RedisStore(Store):
    """See the module. Raises CacheAddressError for what is no address of one."""

    def __init__(self, url: str, *, away_seconds: float = _AWAY_SECONDS) -> None:
        # Here: it takes a seventh of a second, and most do without.
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self._errors = (RedisError, OSError)
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_ANSWER_SECONDS,
                socket_timeout=_ANSWER_SECONDS,
                socket_connect_timeout=_ANSWER_SECONDS,
                # A connection that was cut while nobody used it is made anew.
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError as error:
            raise CacheAddressError(reason=str(error)) from error
        self._redis = Redis.from_pool(pool)
        self._away_seconds = away_seconds
        self._away_until = 0.0
        self._is_away = False

    @override
    async def find(self, key: bytes) -> Entry | None:
        data = await self._ask(self._redis.get(_PREFIX + key)) if self._may_ask() else None
        if not isinstance(data, bytes):
            return None
        try:
            return unpacked(key, data)
        except ValueError as error:
            event(_log, logging.WARNING, "kept answer not understood", reason=str(error))
            return None

    @override
    async def keep(self, key: bytes, entry: Entry, seconds: int) -> None:
        if self._may_ask():
            await self._ask(self._redis.set(_PREFIX + key, packed(key, entry), ex=seconds))

    @override
    async def find_put(self, key: bytes) -> Put | None:
        data = await self._ask(self._redis.get(_PUT_PREFIX + key)) if self._may_ask() else None
        if not isinstance(data, bytes):
            return None
        try:
            return unpacked_put(key, data)
        except ValueError as error:
            event(_log, logging.WARNING, "kept question not understood", reason=str(error))
            return None

    @override
    async def keep_put(self, key: bytes, put: Put, seconds: int) -> None:
        if self._may_ask():
            await self._ask(self._redis.set(_PUT_PREFIX + key, packed_put(key, put), ex=seconds))

    @override
    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _may_ask(self) -> bool:
        return time.monotonic() >= self._away_until

    async def _ask(self, asking: Awaitable[T]) -> T | None:
        try:
            answer = await asking
        except self._errors as error:
            self._away_until = time.monotonic() + self._away_seconds
            if not self._is_away:
                event(_log, logging.WARNING, "the cache does not answer, calls go on without", reason=str(error))
            self._is_away = True
            return None
        if self._is_away:
            event(_log, logging.INFO, "the cache answers again")
        self._is_away = False
        return answer
