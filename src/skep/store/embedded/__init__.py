"""The PostgreSQL that Skep brings along: started on demand, supervised, stopped when idle."""

from __future__ import annotations

from skep.store.embedded.interfaces import (
    AccountMissingError,
    BinariesMissingError,
    BinariesUnreachableError,
    DatabaseFolderError,
    DataVersionError,
    DiskFullError,
    EmbeddedError,
    PasswordMissingError,
    ServerLockError,
    ServerNotAnsweringError,
    ServerStartError,
    ServerStartTimeoutError,
    ServerStopError,
)
from skep.store.embedded.models import RunState, ServerAddress, ServerStatus
from skep.store.embedded.service import EmbeddedServer

__all__ = [
    "AccountMissingError",
    "BinariesMissingError",
    "BinariesUnreachableError",
    "DataVersionError",
    "DatabaseFolderError",
    "DiskFullError",
    "EmbeddedError",
    "EmbeddedServer",
    "PasswordMissingError",
    "RunState",
    "ServerAddress",
    "ServerLockError",
    "ServerNotAnsweringError",
    "ServerStartError",
    "ServerStartTimeoutError",
    "ServerStatus",
    "ServerStopError",
]
