"""Answers that are given again: exact, for each project by itself, and cleared everywhere at once."""

from __future__ import annotations

from skep.gateway.caching.answering import give_kept
from skep.gateway.caching.clearings import clear
from skep.gateway.caching.entries import Entry, Question, seed_of
from skep.gateway.caching.recording import Recorder
from skep.gateway.caching.redis_store import RedisStore
from skep.gateway.caching.routes import cache_endpoints
from skep.gateway.caching.service import AnswerCache, Headers, open_cache
from skep.gateway.caching.stores import MemoryStore, Store

__all__ = [
    "AnswerCache",
    "Entry",
    "Headers",
    "MemoryStore",
    "Question",
    "Recorder",
    "RedisStore",
    "Store",
    "cache_endpoints",
    "clear",
    "give_kept",
    "open_cache",
    "seed_of",
]
