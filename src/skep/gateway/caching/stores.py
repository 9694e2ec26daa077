"""Where answers are kept: in this process. What is kept may be lost at any time."""

from __future__ import annotations

import time
from typing import Protocol

from cachetools import TLRUCache
from typing_extensions import override

from skep.gateway.caching.entries import Entry
from skep.gateway.caching.wordings import Put


class Store(Protocol):
    """Keeps entries by key for some time. Never fails: what cannot be had is not there."""

    async def find(self, key: bytes) -> Entry | None:
        """What is kept under a key."""
        ...

    async def keep(self, key: bytes, entry: Entry, seconds: int) -> None:
        """Keep it instead of what was there."""
        ...

    async def find_put(self, key: bytes) -> Put | None:
        """How a question was put, by its `Asked.key`."""
        ...

    async def keep_put(self, key: bytes, put: Put, seconds: int) -> None:
        """Keep it instead of what was there."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class MemoryStore(Store):
    """In this process; of too much what was not used for longest is dropped."""

    def __init__(self, most_bytes: int) -> None:
        self._entries: TLRUCache[bytes, tuple[Entry | Put, int]] = TLRUCache(
            most_bytes,
            ttu=lambda _, kept, now: now + kept[1],
            timer=time.monotonic,
            getsizeof=lambda kept: kept[0].size,
        )

    @override
    async def find(self, key: bytes) -> Entry | None:
        """See `Store.find`."""
        kept = self._kept(key)
        return kept if isinstance(kept, Entry) else None

    @override
    async def keep(self, key: bytes, entry: Entry, seconds: int) -> None:
        """See `Store.keep`. What is larger than everything there is room for is not kept."""
        if entry.size <= self._entries.maxsize:
            self._entries[key] = (entry, seconds)

    @override
    async def find_put(self, key: bytes) -> Put | None:
        """See `Store.find_put`."""
        kept = self._kept(key)
        return kept if isinstance(kept, Put) else None

    @override
    async def keep_put(self, key: bytes, put: Put, seconds: int) -> None:
        """See `Store.keep_put`."""
        self._entries[key] = (put, seconds)

    def _kept(self, key: bytes) -> Entry | Put | None:
        try:
            # Its `get` looks for a key twice, and asks the clock each time.
            return self._entries[key][0]
        except KeyError:
            return None

    @override
    async def close(self) -> None:
        """See `Store.close`."""
        self._entries.clear()
