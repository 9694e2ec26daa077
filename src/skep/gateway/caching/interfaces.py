"""The errors of the cache of answers."""

from __future__ import annotations

from skep.errors import UsageError


class CacheAddressError(UsageError):
    """The setting cache.redis_url is not the address of a Redis: {reason}"""

    fix = "Give one such as redis://user:password@host:6379/0, rediss://... for TLS, or unix:///path, in the settings."
